"""Where data caches live, how they are keyed, and how they are written so that nothing half-written is ever read."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs
import xxhash
from filelock import FileLock

_PARTIAL = ".partial-"


def cache_root(cache_dir: str | Path | None = None) -> Path:
    """Root of all caches: `cache_dir`, else the `ZOO_CACHE` environment variable, else the user's cache folder."""
    chosen = cache_dir or os.environ.get("ZOO_CACHE") or platformdirs.user_cache_dir("zoo")
    return Path(chosen).expanduser()


def content_key(*parts: str | bytes) -> str:
    """Hash of `parts` (XXH3, 128 bits, hexadecimal); where one part ends matters.

    >>> content_key("ab", "c") == content_key("a", "bc")
    False
    """
    digest = xxhash.xxh3_128()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a new file beside `path` to write to; it replaces `path` only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{_PARTIAL}{uuid.uuid4().hex}{path.suffix}")
    partial.touch(exist_ok=False)  # with the permissions that new files get here
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True), encoding="utf-8")


@contextmanager
def building(folder: Path) -> Iterator[None]:
    """Hold the right to write into `folder`: other processes wait; leftovers of a killed writer are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        for leftover in folder.glob(f"{_PARTIAL}*"):
            leftover.unlink(missing_ok=True)
        yield
