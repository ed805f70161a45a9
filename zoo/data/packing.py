"""Which sequences make a batch: random batches with a token budget, the same for everyone who knows the seed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

_POOL = 64  # batches whose sequences are sorted by length together


class BatchSampler(Sampler[list[int]], ABC):
    """Yields the batches of one rank as lists of indices, `epoch` after `epoch`, from any position on.

    Every rank gets the same number of batches, and no two ranks share one. The number is the same in each epoch, so
    that a learning-rate schedule can count on it.

    Args:
        seed: seed of the order, mixed with the epoch.
        rank: number of this process among the `world_size` ones.
        world_size: number of processes that share the batches.
        reshuffle: if false, every epoch has the batches of epoch 0.
    """

    def __init__(self, seed: int = 0, rank: int = 0, world_size: int = 1, reshuffle: bool = True) -> None:
        super().__init__()
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.reshuffle = reshuffle
        self.epoch = 0
        self.start = 0

    @property
    @abstractmethod
    def num_batches(self) -> int:
        """Batches of all ranks in an epoch, a multiple of `world_size`."""

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """All batches of an epoch, of all ranks."""

    @property
    def sampler(self) -> BatchSampler:
        """Itself: where Lightning looks for the `set_epoch` of a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; another one than before starts at its first batch."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        return self.num_batches // self.world_size

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch if self.reshuffle else 0])
        mine = self.batches(rng)[self.rank :: self.world_size]
        start, self.start = self.start, 0
        for batch in mine[start:]:
            yield batch.tolist()

    def state_dict(self) -> dict[str, Any]:
        """What must be the same for the rest of an epoch to be the same."""
        return {"epoch": self.epoch, "seed": self.seed, "num_batches": len(self), "world_size": self.world_size}

    def load_state_dict(self, state: dict[str, Any], start: int) -> None:
        """Go on in the epoch of `state` with batch `start` of this rank.

        Raises:
            ValueError: if the batches are cut differently now, so that some would be seen twice and others never.
        """
        for name, now in self.state_dict().items():
            if name != "epoch" and state.get(name) != now:
                raise ValueError(
                    f"cannot resume within an epoch: {name} was {state.get(name)} and is {now} now; "
                    f"use the data arguments and devices of the checkpoint"
                )
        self.epoch, self.start = state["epoch"], start


class TokenBudgetSampler(BatchSampler):
    """Batches of at most `batch_tokens` tokens, of sequences of similar lengths.

    The sequences are shuffled, sorted by length within pools of 64 batches, and cut where the sum of lengths passes
    a multiple of total / N, with N = ceil(total / (batch_tokens - longest)): such a piece never has more than
    batch_tokens tokens. The pieces are shuffled. Nothing is dropped and nothing occurs twice.

    Args:
        lengths: tokens of each sequence, at least 1.
        batch_tokens: most tokens of a batch, at least twice the longest sequence.
        seed: see `BatchSampler`.
        rank: see `BatchSampler`.
        world_size: see `BatchSampler`.
        reshuffle: see `BatchSampler`.

    Raises:
        ValueError: if there are too few sequences for the processes, or `batch_tokens` is too small.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        batch_tokens: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        reshuffle: bool = True,
    ) -> None:
        super().__init__(seed, rank, world_size, reshuffle)
        if not len(lengths):
            raise ValueError("there are no sequences to make batches of: use more data")
        longest = int(lengths.max())
        if batch_tokens < 2 * longest:
            raise ValueError(
                f"batch_tokens={batch_tokens} is too small for sequences of {longest} tokens: "
                f"set batch_tokens to at least {2 * longest}, or lower max_length"
            )
        self.lengths = lengths
        wanted = -(-int(lengths.sum()) // (batch_tokens - longest))
        rounded = -(-wanted // world_size) * world_size
        if rounded > len(lengths):
            raise ValueError(f"{len(lengths)} sequences make no {rounded} batches: raise batch_tokens or use more data")
        self._num_batches = rounded

    @property
    def num_batches(self) -> int:
        """Batches of all ranks in an epoch."""
        return self._num_batches

    def batches(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """All batches of an epoch."""
        order = rng.permutation(len(self.lengths))
        pool = -(-len(order) * _POOL // self.num_batches)
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        order = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in pools])
        cuts = self._cuts(self.lengths[order])
        pieces = np.split(order, cuts)
        return [pieces[k] for k in rng.permutation(len(pieces))]

    def _cuts(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the batches begin, the first one's 0 left out."""
        begins = np.cumsum(lengths) - lengths
        multiples = np.arange(1, self.num_batches) * (int(lengths.sum()) / self.num_batches)
        cuts = np.searchsorted(begins, multiples)
        # Very long sequences can span two multiples: every batch gets one sequence at least.
        steps = np.arange(1, self.num_batches)
        cuts = np.maximum.accumulate(np.maximum(cuts - steps, 0)) + steps
        return np.minimum(cuts, len(lengths) - self.num_batches + steps)


class SequentialSampler(BatchSampler):
    """Batches of at most `batch_tokens` tokens in the order of the sequences, for predictions.

    Args:
        lengths: tokens of each sequence.
        batch_tokens: most tokens of a batch.
        rank: see `BatchSampler`; a process gets every `world_size`-th batch, and some may get one batch less.
        world_size: see `BatchSampler`.
        starts: sequences at which a batch must begin.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        batch_tokens: int,
        rank: int = 0,
        world_size: int = 1,
        starts: Collection[int] = (),
    ) -> None:
        super().__init__(0, rank, world_size, reshuffle=False)
        cuts, filled = [], 0
        for index, length in enumerate(lengths.tolist()):
            if filled and (filled + length > batch_tokens or index in starts):
                cuts.append(index)
                filled = 0
            filled += length
        self._pieces = np.split(np.arange(len(lengths)), cuts)

    @property
    def num_batches(self) -> int:
        """Batches of all ranks."""
        return len(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces[self.rank :: self.world_size])

    def batches(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """All batches; nothing is random."""
        return self._pieces
