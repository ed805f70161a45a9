"""Pairs of several sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.contracts import PairBatch
from zoo.data.batch_datasets import TextPairs
from zoo.data.token_cache import TokenCache


class MixedPairs:
    """The pairs of several sources, numbered one source after the other; a batch is of one source.

    Args:
        members: pairs of each source.
        temperature: by which a source is drawn for a batch, see `MixtureSampler`.
    """

    def __init__(self, members: Sequence[TextPairs], temperature: float = 1.0) -> None:
        self.members = members
        self.temperature = temperature
        self._bounds = np.cumsum([0, *map(len, members)])

    def __len__(self) -> int:
        return int(self._bounds[-1])

    @property
    def starts(self) -> list[int]:
        """Number of the first pair of each source."""
        return list(self._bounds[:-1].tolist())

    @property
    def num_empty(self) -> int:
        """Pairs that were dropped."""
        return sum(member.num_empty for member in self.members)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each pair, see `TextPairs`."""
        return np.concatenate([member.lengths for member in self.members])

    @property
    def caches(self) -> list[TokenCache]:
        """Queries and documents of all sources."""
        return [cache for member in self.members for cache in member.caches]

    @property
    def counts(self) -> dict[str, Any]:
        """Counts of all sources together, and under `sources` those of each."""
        each = [member.counts for member in self.members]
        names = dict.fromkeys(name for counts in each for name in counts)
        return {name: sum(counts.get(name, 0) for counts in each) for name in names} | {"sources": each}

    def __getitem__(self, indices: list[int]) -> PairBatch:
        """Pairs `indices`, all of one source."""
        source = int(np.searchsorted(self._bounds, indices[0], side="right")) - 1
        first = int(self._bounds[source])
        assert max(indices) < self._bounds[source + 1], "a batch is of one source"
        assert min(indices) >= first, "a batch is of one source"
        return self.members[source][[index - first for index in indices]]
