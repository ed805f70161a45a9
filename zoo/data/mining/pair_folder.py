"""A folder of pairs that is made piece by piece, and appears when it is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from zoo.contracts import JsonDict
from zoo.data.cache import atomic_path, building, cache_root, content_key, write_json

_FACTS = "pairs.json"


@dataclass(frozen=True)
class Piece:
    """Some rows of a split, which a run that is killed loses or keeps together.

    Args:
        split: file that they belong to.
        rows: makes them.
    """

    split: str
    rows: Callable[[], Iterable[JsonDict]]


def write_pairs(
    out: Path, settings: JsonDict, pieces: Sequence[Piece], read: Mapping[str, int], cache_dir: str | None = None
) -> JsonDict:
    """Write one jsonl file a split, and `pairs.json` with settings and counts.

    Finished pieces are kept in the cache under a hash of the settings, so that a second call goes on after the last
    one. The folder appears when all of it is on the disk.

    Args:
        out: the new folder; where it was made with the same settings, nothing is done.
        settings: all that decides the rows (JSON).
        pieces: the rows in their order.
        read: pairs of each split that there were.
        cache_dir: root of the caches; None takes `ZOO_CACHE` or the user's cache folder.

    Returns:
        What stands in `pairs.json`.

    Raises:
        ValueError: if `out` holds something else, or no row of a split is left.
    """
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    key = content_key(json.dumps(settings, sort_keys=True))
    work = cache_root(cache_dir) / "pairs" / key
    with building(work):
        found = _finished(out, settings)
        if found is not None:
            return found
        files = [work / f"{number:06d}.jsonl" for number in range(len(pieces))]
        for piece, file in zip(tqdm(pieces, desc=str(out.name), unit=" pieces", disable=None), files, strict=True):
            if not file.exists():
                with atomic_path(file) as partial:
                    partial.write_text("".join(map(_line, piece.rows())), encoding="utf-8")
        by_split = {split: [f for p, f in zip(pieces, files, strict=True) if p.split == split] for split in read}
        facts = _join(out, key, settings, by_split, read)
        for file in files:
            file.unlink()
    return facts


def _line(row: JsonDict) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _finished(out: Path, settings: JsonDict) -> JsonDict | None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        found: JsonDict = json.loads((out / _FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if found.get("settings") != settings:
        raise ValueError(f"{out} holds something else, or was made with other settings: name another folder")
    return found


def _join(
    out: Path, key: str, settings: JsonDict, by_split: Mapping[str, Sequence[Path]], read: Mapping[str, int]
) -> JsonDict:
    """Put the pieces together beside `out`, and move them there as a whole."""
    partial = out.parent / f".{out.name}-{key}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        counts = {}
        for split, files in by_split.items():
            written = _concatenate(partial / f"{split}.jsonl", files)
            if not written:
                raise ValueError(f"no pair of the {split} split is left of {read[split]}: loosen the settings")
            counts[split] = {"read": read[split], "written": written}
        facts: JsonDict = {"settings": settings, "pairs": counts}
        write_json(partial / _FACTS, facts)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return facts


def _concatenate(path: Path, files: Sequence[Path]) -> int:
    """Write what `files` hold; returns the number of lines."""
    lines = 0
    with path.open("wb") as target:
        for file in files:
            with file.open("rb") as part:
                for line in part:
                    target.write(line)
                    lines += 1
        target.flush()
        os.fsync(target.fileno())
    return lines
