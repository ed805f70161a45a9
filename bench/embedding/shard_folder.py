"""Vectors by the digests of their texts, kept in a folder that many processes may share.

One file a shard, `<job>-<window>-<checksum>.npy`: rows of (16 bytes of digest, float32 vector), written whole or not at
all. The checksum stands in the name, so a file that was cut off or altered is found out before it is used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from pathlib import Path

import numpy as np
import xxhash

from bench.embedding.plan import KEY
from bench.embedding.shards import Shard, ShardName, Shards

_CHUNK = 1 << 20

_log = logging.getLogger(__name__)


class ShardFolder(Shards):
    """Vectors in a folder.

    Args:
        folder: made when the first shard is written.
        dim: of a vector.
    """

    def __init__(self, folder: Path, dim: int) -> None:
        super().__init__(dim)
        self._folder = folder
        # size and time of each file that was looked at: a damaged one is read again only after it was replaced
        self._seen: dict[str, tuple[int, int]] = {}

    def refresh(self) -> None:
        """Read shards that this or another process has written; damaged ones are named in a warning and left out."""
        if not self._folder.is_dir():
            return
        for entry in sorted(os.scandir(self._folder), key=lambda entry: entry.name):
            if not entry.name.endswith(".npy") or entry.name.startswith("."):
                continue
            with contextlib.suppress(FileNotFoundError):
                self._look_at(Path(entry.path))

    def add(self, name: ShardName, shard: Shard) -> None:
        """Write a shard.

        Raises:
            OSError: if it cannot be written; nothing is left behind.
        """
        rows = np.empty(len(shard.keys), self._row_type())
        rows["key"] = shard.keys
        rows["vector"] = shard.vectors
        temporary = self._folder / f".{secrets.token_hex(8)}.tmp"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                np.save(file, rows)
                file.flush()
                os.fsync(file.fileno())
            path = self._folder / f"{name.job}-{name.window}-{_checksum(temporary)}.npy"
            temporary.replace(path)
        except OSError as error:
            advice = f"cannot write vectors ({error.strerror}); make room or choose another cache folder"
            raise OSError(error.errno, advice, str(self._folder)) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        self._look_at(path)

    def _look_at(self, path: Path) -> None:
        stat = path.stat()
        state = (stat.st_size, stat.st_mtime_ns)
        if self._seen.get(path.name) != state:
            self._seen[path.name] = state
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            job, window, checksum = path.stem.split("-")
            if _checksum(path) != checksum:
                raise ValueError("its checksum does not match, so it was cut off or altered")
            rows = np.load(path, mmap_mode="r")
            if rows.dtype != self._row_type():
                raise ValueError(f"its rows are {rows.dtype}, not {self._row_type()}")
        except (OSError, ValueError) as error:
            _log.warning("%s: not used, its texts are encoded again (%s)", path, error)
            return
        # the digests are copied, so that looking up a text does not touch the pages of all vectors
        super().add(ShardName(job, window), Shard(rows["key"].copy(), rows["vector"]))

    def _row_type(self) -> np.dtype[np.void]:
        return np.dtype([("key", KEY), ("vector", "<f4", (self.dim,))])


def _checksum(path: Path) -> str:
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
