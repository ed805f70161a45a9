"""Vectors by the digests of their texts, kept in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.embedding.plan import KEY, Keys


@dataclass(frozen=True)
class ShardName:
    """Which computation a shard belongs to.

    Args:
        job: digest of all texts that were asked for together.
        window: digest of those that were computed together.
    """

    job: str
    window: str


@dataclass(frozen=True)
class Shard:
    """Vectors that were computed together.

    Args:
        keys: digests of the texts: (texts,).
        vectors: float32 (texts, dim).
    """

    keys: Keys
    vectors: NDArray[np.float32]


class Shards:
    """Vectors that live as long as this object.

    Args:
        dim: of a vector.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._shards: dict[ShardName, Shard] = {}
        self._index: _Index | None = None

    def refresh(self) -> None:
        """Look for shards that others have added."""

    def add(self, name: ShardName, shard: Shard) -> None:
        """Keep a shard."""
        self._shards[name] = shard
        self._index = None

    def windows(self, job: str) -> set[str]:
        """Windows of a job that are here."""
        return {name.window for name in self._shards if name.job == job}

    def known(self, keys: Keys, besides: str | None) -> NDArray[np.bool_]:
        """For each text, whether a vector is here that does not come from the job `besides`."""
        shard, _ = self._lookup().find(keys)
        own = [name.job == besides for name in self._lookup().names]
        known: NDArray[np.bool_] = (shard >= 0) & ~np.array([*own, False])[shard]
        return known

    def fetch(self, keys: Keys, out: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Copy the vectors of `keys` into `out`, and say for each whether it was here."""
        shard, row = self._lookup().find(keys)
        order = np.argsort(shard, kind="stable")
        numbers, starts = np.unique(shard[order], return_index=True)
        for number, places in zip(numbers, np.split(order, starts)[1:], strict=True):
            if number >= 0:
                out[places] = self._shards[self._lookup().names[number]].vectors[row[places]]
        return shard >= 0

    def _lookup(self) -> _Index:
        if self._index is None:
            self._index = _Index(self._shards)
        return self._index


class _Index:
    """Where the vector of a text lies; of several, the one in the shard that comes first by name."""

    def __init__(self, shards: dict[ShardName, Shard]) -> None:
        self.names = sorted(shards, key=lambda name: (name.job, name.window))
        keys = [shards[name].keys for name in self.names]
        sizes = [len(part) for part in keys]
        flat = np.concatenate([np.empty(0, KEY), *keys])
        order = np.argsort(flat, kind="stable")
        self._keys = flat[order]
        self._shard = np.repeat(np.arange(len(sizes)), sizes)[order]
        self._row = np.concatenate([np.empty(0, np.intp), *map(np.arange, sizes)])[order]

    def find(self, keys: Keys) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Number of the shard (-1 for none) and row in it, for each text."""
        if len(self._keys) == 0:
            return np.full(len(keys), -1), np.zeros(len(keys), np.intp)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        found = self._keys[places] == keys
        return np.where(found, self._shard[places], -1), self._row[places]
