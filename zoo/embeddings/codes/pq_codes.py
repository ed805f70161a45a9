"""Codes that fit the vectors of a trained model best, so that it can be adapted."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.contracts import Vocabulary
from zoo.embeddings.codes.balanced import Rows, centroids_of, squared_distances
from zoo.embeddings.codes.code_assignment import CodeAssignment, by_frequency, needed_rows, places_of
from zoo.embeddings.codes.least_squares import start_at
from zoo.layers.subspace_table import SubspaceTable

_GRID = 1 << 20  # codes that are all compared for each row: more would take too long


class PQCodes(CodeAssignment):
    """Product quantisation without collisions: digit j is a cluster of slice j of a trained model's vectors.

    Tokens choose in order of frequency: each takes the free combination of centroids with the smallest squared
    distance. The tables start at the means of the tokens that chose them, and own rows at the trained vectors, so that
    the model goes on where the trained one was.

    Args:
        model: trained model with a full table and the same tokenizer: run folder, checkpoint or Hugging Face encoder.
            Null takes the one that training starts from (`init_from`).
        seed: of k-means.

    Raises:
        FileNotFoundError: if there is no such model (when training begins).
        ValueError: if its vocabulary or width is another one (when training begins).

    References:
        H. Jégou, M. Douze and C. Schmid, Product Quantization for Nearest Neighbor Search, TPAMI 33 (2011).
    """

    def __init__(self, model: str | None = None, seed: int = 0) -> None:
        self.model, self.seed = model, seed

    def assign(
        self, table: SubspaceTable, vocabulary: Vocabulary, counts: Tensor, trained: Tensor | None = None
    ) -> None:
        """Quantise the tokens behind the own rows, and start all rows from the trained ones."""
        order = by_frequency(vocabulary, counts)
        trained = needed_rows(self.model, trained, vocabulary, table.width)
        codes = quantised(trained[order[table.own_rows :]], table.base, table.num_tables, self.seed)
        table.assign(places_of(order), codes)
        start_at(table, trained)


def quantised(rows: Tensor, base: int, num_tables: int, seed: int) -> Tensor:
    """Different codes of the clusters next to each row's slices: (n, f); the first rows choose first.

    Args:
        rows: vectors: (n, D).
        base: clusters of a slice.
        num_tables: f, slices.
        seed: of k-means.
    """
    slices = rows.numpy().reshape(len(rows), num_tables, -1)
    centroids = [centroids_of(slices[:, j], base, seed) for j in range(num_tables)]

    def distances(chosen: slice) -> Rows:
        return np.stack([squared_distances(slices[chosen, j], centroids[j]) for j in range(num_tables)])

    if base**num_tables <= _GRID:
        return torch.from_numpy(free_cells(distances(slice(None))))
    nearest = [squared_distances(slices[:, j], centroids[j]).argmin(1) for j in range(num_tables)]
    return torch.from_numpy(free_codes(np.stack(nearest, 1), lambda row: distances(slice(row, row + 1))[:, 0]))


def free_cells(distances: Rows) -> NDArray[np.int64]:
    """Different codes of small distance: each row in turn takes the nearest that is left: (n, f).

    Args:
        distances: of each row to each centroid, by slice: (f, n, base), with `base ** f` not too large to compare all.
    """
    count, rows, base = distances.shape
    used = np.zeros(base**count, np.float32)
    numbers = np.empty(rows, np.int64)
    for row in range(rows):
        cost = distances[-1, row]
        for j in reversed(range(count - 1)):
            cost = (cost[:, None] + distances[j, row]).ravel()
        numbers[row] = (cost + used).argmin()
        used[numbers[row]] = np.inf
    codes: NDArray[np.int64] = numbers[:, None] // base ** np.arange(count) % base
    return codes


def free_codes(nearest: NDArray[np.int64], distances: Callable[[int], Rows]) -> NDArray[np.int64]:
    """The same where there are far more codes than rows, so that most rows can have the nearest: (n, f).

    Args:
        nearest: centroid of each slice of each row: (n, f).
        distances: of a row to each centroid, by slice: (f, base); asked for where another row has its nearest code.
    """
    taken: dict[tuple[int, ...], None] = {}
    for row, code in enumerate(map(tuple, nearest.tolist())):
        if code in taken:
            code = next(other for other in _by_distance(distances(row)) if other not in taken)
        taken[code] = None
    return np.array(list(taken), np.int64)


def _by_distance(distances: Rows) -> Iterator[tuple[int, ...]]:
    """All codes of one row, the nearest first: (f, base) distances."""
    order = distances.argsort(axis=1)
    steps = np.take_along_axis(distances, order, 1)
    start = (0,) * len(distances)
    waiting = [(float(steps[:, 0].sum()), start)]
    seen = {start}
    while waiting:
        cost, ranks = heapq.heappop(waiting)
        yield tuple(int(order[j, rank]) for j, rank in enumerate(ranks))
        for j, rank in enumerate(ranks):
            after = (*ranks[:j], rank + 1, *ranks[j + 1 :])
            if rank + 1 < distances.shape[1] and after not in seen:
                seen.add(after)
                heapq.heappush(waiting, (cost + float(steps[j, rank + 1] - steps[j, rank]), after))
