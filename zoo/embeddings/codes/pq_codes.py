"""Codes that fit the vectors of a trained model best, so that it can be adapted."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.contracts import Vocabulary
from zoo.embeddings.codes.balanced import Rows, centroids_of, squared_distances
from zoo.embeddings.codes.code_assignment import CodeAssignment, by_frequency, places_of, trained_rows
from zoo.embeddings.codes.least_squares import start_at
from zoo.layers.subspace_table import SubspaceTable

_BEAM = 4  # nearest centroids of a slice that are tried first
_GRID = 1 << 20  # combinations of which all are tried


class PQCodes(CodeAssignment):
    """Product quantisation without collisions: digit j is a cluster of slice j of a trained model's vectors.

    Tokens choose in order of frequency: each takes the free combination of centroids with the smallest squared
    distance. The tables start at the means of the tokens that chose them, and own rows at the trained vectors, so that
    the model goes on where the trained one was.

    Args:
        model: run folder or checkpoint with a full table and the same tokenizer.
        seed: of k-means.

    Raises:
        FileNotFoundError: if there is no such model (when training begins).
        ValueError: if its vocabulary or width is another one (when training begins).

    References:
        H. Jégou, M. Douze and C. Schmid, Product Quantization for Nearest Neighbor Search, TPAMI 33 (2011).
    """

    def __init__(self, model: str, seed: int = 0) -> None:
        self.model, self.seed = model, seed

    def assign(self, table: SubspaceTable, vocabulary: Vocabulary, counts: Tensor) -> None:
        """Quantise the tokens behind the own rows, and start all rows from the trained ones."""
        order = by_frequency(vocabulary, counts)
        trained = trained_rows(self.model, vocabulary, table.width)
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
    distances = np.stack([squared_distances(slices[:, j], centroids[j]) for j in range(num_tables)])
    return torch.from_numpy(free_codes(distances))


def free_codes(distances: Rows) -> NDArray[np.int64]:
    """Different codes of small distance: each row in turn takes the nearest that is left: (n, f).

    Where there are more than a million combinations, most of which stay free, only those of its nearest centroids are
    tried first.

    Args:
        distances: of each row to each centroid, by slice: (f, n, base).
    """
    count, _, base = distances.shape
    numbers = _nearest_free(distances) if base**count <= _GRID else _near_free(distances)
    codes: NDArray[np.int64] = numbers[:, None] // base ** np.arange(count) % base
    return codes


def _nearest_free(distances: Rows) -> NDArray[np.int64]:
    """The number that the nearest free codes spell, of all combinations, for each row."""
    count, rows, base = distances.shape
    taken = np.zeros(base**count, np.float32)
    numbers = np.empty(rows, np.int64)
    for row in range(rows):
        cost = distances[-1, row]
        for j in reversed(range(count - 1)):
            cost = (cost[:, None] + distances[j, row]).ravel()
        numbers[row] = (cost + taken).argmin()
        taken[numbers[row]] = np.inf
    return numbers


def _near_free(distances: Rows) -> NDArray[np.int64]:
    """The same, of a few nearest centroids of each slice, and of more where all their combinations are taken."""
    count, rows, base = distances.shape
    powers = base ** np.arange(count)
    taken: set[int] = set()
    numbers = np.empty(rows, np.int64)
    for row in range(rows):
        beam = _BEAM
        while True:
            nearest = distances[:, row].argsort(axis=1)[:, :beam]
            choices = np.array(list(product(*nearest)))
            free = choices[[int(number) not in taken for number in choices @ powers]]
            if len(free):
                break
            beam *= 2
        costs = distances[np.arange(count), row, free].sum(1)
        numbers[row] = free[costs.argmin()] @ powers
        taken.add(int(numbers[row]))
    return numbers
