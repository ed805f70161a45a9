"""One stream of text in contiguous columns, window after window, for encoders that keep a state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zoo.contracts import PackedBatch
from zoo.data.batch_datasets import pack
from zoo.data.packing import BatchSampler
from zoo.data.token_cache import TokenCache


class ContiguousWindows:
    """The texts of a cache, one after the other and without `[CLS]` and `[SEP]`, in columns that are read side by side.

    A stream of N tokens has N - 1 tokens to predict; each of C columns gets floor((N - 1) / C) of them, so that at most
    C - 1 tokens at the end are dropped. A column is cut into windows of `max_length` inputs and as many targets, which
    are the inputs one place on, so that windows share a token; the last window may be shorter. Sequence `w C + c` is
    window w of column c, and goes on where sequence `(w - 1) C + c` ended.

    Args:
        cache: the texts.
        max_length: inputs of a window.
        columns: C.

    Raises:
        ValueError: if there are too few tokens for the columns.
    """

    def __init__(self, cache: TokenCache, max_length: int, columns: int) -> None:
        self.cache = cache
        self.columns = columns
        self.max_length = max_length
        used = [cache[text][1:-1] for text in range(len(cache))]
        self.num_texts = sum(len(tokens) > 0 for tokens in used)
        self.num_empty = len(cache) - self.num_texts
        self._stream = np.concatenate(used) if len(used) > 1 else used[0]
        self._height = (len(self._stream) - 1) // columns
        if self._height < 1:
            raise ValueError(f"{len(self._stream)} tokens do not fill columns={columns}: lower it or use more data")
        self.num_windows = -(-self._height // max_length)
        lengths = np.full(self.num_windows, max_length + 1)
        lengths[-1] = self._height - max_length * (self.num_windows - 1) + 1
        self.lengths: NDArray[np.int64] = np.repeat(lengths, columns)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, indices: list[int]) -> PackedBatch:
        """Sequences `indices` of one window, packed; they continue those of the window before."""
        windows, columns = np.divmod(indices, self.columns)
        assert (windows == windows[0]).all(), "a batch is one window of its columns"
        starts = columns * self._height + windows * self.max_length
        lengths = self.lengths[indices]
        ends = (starts + lengths).tolist()
        parts = [self._stream[start:end] for start, end in zip(starts.tolist(), ends, strict=True)]
        return replace(pack(parts, lengths), continues=bool(windows[0] > 0))


class ContiguousSampler(BatchSampler):
    """Window after window, the columns split evenly over the processes; nothing is random.

    Args:
        num_windows: windows of each column.
        columns: sequences of a batch, over all processes.
        rank: see `BatchSampler`.
        world_size: see `BatchSampler`.

    Raises:
        ValueError: if the columns cannot be split evenly.
    """

    def __init__(self, num_windows: int, columns: int, rank: int = 0, world_size: int = 1) -> None:
        super().__init__(0, rank, world_size, reshuffle=False)
        if columns % world_size:
            raise ValueError(f"columns={columns} cannot be split over {world_size} processes: set a multiple of them")
        self.num_windows, self.columns = num_windows, columns

    @property
    def num_batches(self) -> int:
        """Batches of all ranks in an epoch."""
        return self.num_windows * self.world_size

    def batches(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """All batches in their order: those of the first window, one a rank, then those of the second."""
        return list(np.arange(self.num_windows * self.columns).reshape(self.num_batches, -1))
