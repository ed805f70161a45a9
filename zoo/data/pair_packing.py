"""Which pairs make a batch: no text twice in one, because the other pairs of a batch are its negatives."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from zoo.data.packing import BatchSampler

_TRIES = 32  # batches that are asked to swap a pair before a repetition counts as unavoidable
_PATIENCE = 256  # unavoidable repetitions after which no more swaps are sought in an epoch
_SCAN = 16  # pairs looked at for each place of a batch


class PairSampler(BatchSampler):
    """Batches of at most `batch_pairs` pairs, equally large up to one, without a repeated query or document.

    A pair that repeats a text of its batch waits for the next one. What still waits at the end is swapped into earlier
    batches; a repetition remains only where no swap is found, as when one document belongs to most queries.

    Args:
        queries: a number for each pair, the same for equal queries.
        documents: the same for its document.
        batch_pairs: most pairs of a batch.
        seed: see `BatchSampler`.
        rank: see `BatchSampler`.
        world_size: see `BatchSampler`.
        reshuffle: see `BatchSampler`.

    Raises:
        ValueError: if there are fewer pairs than processes, or no pairs in a batch.
    """

    def __init__(
        self,
        queries: NDArray[np.int64],
        documents: NDArray[np.int64],
        batch_pairs: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        reshuffle: bool = True,
    ) -> None:
        super().__init__(seed, rank, world_size, reshuffle)
        if batch_pairs < 1:
            raise ValueError(f"batch_pairs={batch_pairs} makes no batch: set at least 2, for each other's negatives")
        if len(queries) < max(world_size, 1):
            raise ValueError(f"{len(queries)} pairs cannot be shared by {world_size} processes: use more data")
        self.queries = queries.tolist()
        self.documents = documents.tolist()
        wanted = -(-len(queries) // batch_pairs)
        rounded = -(-wanted // world_size) * world_size
        self._num_batches = min(rounded, len(queries) // world_size * world_size)

    @property
    def num_batches(self) -> int:
        """Batches of all ranks in an epoch."""
        return self._num_batches

    def batches(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """All batches of an epoch."""
        order = rng.permutation(len(self.queries)).tolist()
        sizes = [len(part) for part in np.array_split(np.arange(len(order)), self.num_batches)]
        batches, waiting = self._fill(order, sizes)
        rooms = [k for k, batch in enumerate(batches) for _ in range(sizes[k] - len(batch))]
        patience = _PATIENCE
        for pair, room in zip(waiting, rooms, strict=True):
            if not (patience and self._swap_in(pair, room, batches, rng)):
                patience = max(patience - 1, 0)
                batches[room].append(pair)
        return [np.array(batch, dtype=np.int64) for batch in batches]

    def _fill(self, order: list[int], sizes: list[int]) -> tuple[list[list[int]], deque[int]]:
        fresh, waiting = deque(order), deque[int]()
        batches = []
        for size in sizes:
            batch: list[int] = []
            used: set[tuple[str, int]] = set()
            again: deque[int] = deque()
            for _ in range(_SCAN * size):
                if len(batch) == size or not (waiting or fresh):
                    break
                pair = waiting.popleft() if waiting else fresh.popleft()
                texts = self._texts(pair)
                if used.isdisjoint(texts):
                    batch.append(pair)
                    used |= texts
                else:
                    again.append(pair)
            waiting = again + waiting
            batches.append(batch)
        return batches, waiting + fresh

    def _swap_in(self, pair: int, room: int, batches: list[list[int]], rng: np.random.Generator) -> bool:
        """Put `pair` in the place of one that fits into batch `room`, if one is found."""
        for k in rng.integers(len(batches), size=_TRIES).tolist():
            if k == room or not batches[k]:
                continue
            place = int(rng.integers(len(batches[k])))
            moved = batches[k][place]
            others = batches[k][:place] + batches[k][place + 1 :]
            if self._fits(pair, others) and self._fits(moved, batches[room]):
                batches[k][place] = pair
                batches[room].append(moved)
                return True
        return False

    def _fits(self, pair: int, batch: list[int]) -> bool:
        return all(self._texts(pair).isdisjoint(self._texts(other)) for other in batch)

    def _texts(self, pair: int) -> set[tuple[str, int]]:
        return {("query", self.queries[pair]), ("document", self.documents[pair])}
