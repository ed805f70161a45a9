"""Batches of a fixed number of rows in random order, of lengths that are alike or of any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Rows are sorted by length in pools of this many batches, and in four pools at least: were all rows sorted together,
# the same rows would meet in every epoch.
_POOL_BATCHES = 16
_POOLS = 4


def length_grouped(lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """All rows once, `batch_size` a batch and the rest in one of them.

    The rows are shuffled, sorted by length within pools of at most 16 batches, cut, and the batches are shuffled. So a
    step sees as many rows as without sorting, of other company in each epoch, and few pad tokens.

    Args:
        lengths: of each row, in tokens.
        batch_size: rows a batch.
        rng: decides the order.

    Example:
        >>> batches = length_grouped(np.array([3, 9, 4, 8, 5]), 2, np.random.default_rng(0))
        >>> sorted(len(batch) for batch in batches), sorted(np.concatenate(batches).tolist())
        ([1, 2, 2], [0, 1, 2, 3, 4])
    """
    order = rng.permutation(len(lengths))
    pool = batch_size * min(_POOL_BATCHES, max(1, len(lengths) // (_POOLS * batch_size)))
    pools = [order[start : start + pool] for start in range(0, len(order), pool)]
    order = np.concatenate([part[np.argsort(-lengths[part], kind="stable")] for part in pools])
    pieces = np.split(order, range(batch_size, len(order), batch_size))
    return [pieces[i] for i in rng.permutation(len(pieces))]


def shuffled(lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """All rows once in random order, `batch_size` a batch and the rest in the last.

    Args:
        lengths: of each row, in tokens; their number counts.
        batch_size: rows a batch.
        rng: decides the order.

    Example:
        >>> batches = shuffled(np.array([3, 9, 4, 8, 5]), 2, np.random.default_rng(0))
        >>> [len(batch) for batch in batches], sorted(np.concatenate(batches).tolist())
        ([2, 2, 1], [0, 1, 2, 3, 4])
    """
    order = rng.permutation(len(lengths))
    return np.split(order, range(batch_size, len(order), batch_size))
