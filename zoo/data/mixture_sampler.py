"""Which source a batch is from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data.packing import BatchSampler
from zoo.data.pair_packing import PairSampler


class MixtureSampler(BatchSampler):
    """Batches of one source each; the batches of all processes at a step are of the same one.

    A source of s steps gets `S s^(1/t) / sum_j s_j^(1/t)` of the `S = sum_j s_j` steps of an epoch, rounded up or down
    so that this is the expectation (systematic sampling); the steps are in random order.

    Args:
        sources: makes the batches of each source, all for one seed, rank and number of processes.
        temperature: t, above 0.

    Example:
        >>> pairs = [PairSampler(np.arange(n), np.arange(n), batch_pairs=2) for n in (8, 2)]
        >>> [np.sort(batch).tolist() for batch in MixtureSampler(pairs, 1.0) if min(batch) >= 8]
        [[8, 9]]
    """

    def __init__(self, sources: Sequence[PairSampler], temperature: float) -> None:
        first = sources[0]
        super().__init__(first.seed, first.rank, first.world_size, first.reshuffle)
        assert all((s.seed, s.rank, s.world_size) == (self.seed, self.rank, self.world_size) for s in sources)
        self.sources = sources
        self.temperature = temperature
        self._starts = np.cumsum([0, *(len(source.queries) for source in sources)])
        self._steps = np.array([len(source) for source in sources])

    @property
    def num_batches(self) -> int:
        """Batches of all ranks in an epoch."""
        return int(self._steps.sum()) * self.world_size

    @property
    def shares(self) -> NDArray[np.float64]:
        """Expected share of each source in the steps."""
        # by the largest, so that no power overflows
        weights = (self._steps / self._steps.max()) ** (1 / self.temperature)
        shares: NDArray[np.float64] = weights / weights.sum()
        return shares

    def batches(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """All batches of an epoch; those of the ranks at a step follow each other."""
        order = rng.permutation(np.repeat(np.arange(len(self.sources)), self._steps_of_each(rng)))
        streams = [self._stream(number, own) for number, own in enumerate(rng.spawn(len(self.sources)))]
        return [next(streams[number]) for number in order.tolist() for _ in range(self.world_size)]

    def state_dict(self) -> dict[str, Any]:
        """What must be the same for the rest of an epoch to be the same."""
        pairs = [len(source.queries) for source in self.sources]
        return {**super().state_dict(), "pairs": pairs, "temperature": self.temperature}

    def _steps_of_each(self, rng: np.random.Generator) -> NDArray[np.int64]:
        total = int(self._steps.sum())
        ends = np.cumsum(self.shares) * total
        ends[-1] = total
        # rounded first: a whole number must not be cut to the one below
        cuts = np.floor(np.round(ends, 6) + rng.random()).astype(np.int64)
        return np.diff(cuts, prepend=0)

    def _stream(self, number: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Batches of a source without end, shuffled anew after each pass."""
        while True:
            for batch in self.sources[number].batches(rng):
                yield batch + self._starts[number]
