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
from zoo.layers.subspace_table import SubspaceTable

_BEAM = 4  # nearest centroids of a slice that are tried first


class PQCodes(CodeAssignment):
    """Product quantisation without collisions: digit j is a centroid of slice j of a trained model's vectors.

    Tokens choose in order of frequency: each takes the free combination of centroids with the smallest squared
    distance. The tables start at the centroids, and own rows at the trained vectors, so that the model goes on where
    the trained one was.

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
        trained = trained_rows(self.model, vocabulary, table.width)[order]
        slices = trained[table.own_rows :].numpy().reshape(-1, table.num_tables, table.width // table.num_tables)
        tables = [centroids_of(slices[:, j], table.base, self.seed) for j in range(table.num_tables)]
        distances = np.stack([squared_distances(slices[:, j], tables[j]) for j in range(table.num_tables)])
        table.assign(places_of(order), torch.from_numpy(free_codes(distances)))
        with torch.no_grad():
            table.matrix.copy_(torch.from_numpy(np.concatenate(tables)))
            if table.own is not None:
                table.own.matrix.copy_(trained[: table.own_rows])


def free_codes(distances: Rows) -> NDArray[np.int64]:
    """Different codes of small distance: each row in turn takes the best that is left: (n, f).

    Args:
        distances: of each row to each centroid, by slice: (f, n, base).
    """
    count, rows, base = distances.shape
    powers = base ** np.arange(count)
    nearest = distances.argsort(axis=2)
    taken = np.zeros(base**count, bool) if base**count <= 1 << 28 else None
    used: set[int] = set()
    codes = np.empty((rows, count), np.int64)
    for row in range(rows):
        beam = min(_BEAM, base)
        while True:
            choices = np.array(list(product(*nearest[:, row, :beam])))
            numbers = choices @ powers
            free = ~taken[numbers] if taken is not None else np.array([int(n) not in used for n in numbers])
            if free.any() or beam == base:
                break
            beam = min(2 * beam, base)
        cost = distances[np.arange(count), row, choices].sum(1)
        best = int(np.where(free, cost, np.inf).argmin())
        codes[row] = choices[best]
        if taken is not None:
            taken[numbers[best]] = True
        else:
            used.add(int(numbers[best]))
    return codes
