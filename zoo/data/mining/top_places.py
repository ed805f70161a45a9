"""The best places of each row, over scores that come in blocks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Places = NDArray[np.int64]
Scores = NDArray[np.float32]


class TopPlaces:
    """Keeps the `number` places with the highest scores of each row; of equal scores the earlier place is better.

    Args:
        rows: how many there are.
        number: places to keep a row.

    Example:
        >>> best = TopPlaces(rows=1, number=2)
        >>> best.add(0, np.array([[0.5, -np.inf, 0.5]], np.float32))
        >>> best.add(3, np.array([[0.5, 0.75]], np.float32))
        >>> best.results()
        [[(4, 0.75), (0, 0.5)]]
    """

    def __init__(self, rows: int, number: int) -> None:
        self._num_rows, self._number = rows, number
        self._rows, self._places = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._scores = np.zeros(0, np.float32)

    def add(self, first: int, scores: Scores) -> None:
        """Look at a block.

        Args:
            first: place of its first column.
            scores: (rows, columns); minus infinity leaves a place out.
        """
        number = min(self._number, scores.shape[1])
        last = torch.from_numpy(scores).topk(number, dim=1).values[:, -1:].numpy()
        # all that are as good as the last one: torch.topk takes any of equal scores
        rows, columns = np.nonzero((scores >= last) & (scores > -np.inf))
        self._keep(rows, columns + first, scores[rows, columns])

    def results(self) -> list[list[tuple[int, float]]]:
        """Place and score of what was kept for each row, best first."""
        found: list[list[tuple[int, float]]] = [[] for _ in range(self._num_rows)]
        for row, place, score in zip(self._rows.tolist(), self._places.tolist(), self._scores.tolist(), strict=True):
            found[row].append((place, score))
        return found

    def _keep(self, rows: Places, places: Places, scores: Scores) -> None:
        rows = np.concatenate([self._rows, rows])
        places = np.concatenate([self._places, places])
        scores = np.concatenate([self._scores, scores])
        order = np.lexsort((places, -scores, rows))
        rank = np.arange(len(order)) - np.searchsorted(rows[order], rows[order])
        kept = order[rank < self._number]
        self._rows, self._places, self._scores = rows[kept], places[kept], scores[kept]
