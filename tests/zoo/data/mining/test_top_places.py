from __future__ import annotations

import numpy as np
import pytest

from zoo.data.mining.top_places import TopPlaces


@pytest.mark.parametrize("block", [1, 3, 50])
def test_as_by_sorting(block: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (9, 40)).astype(np.float32)  # many are equal
    scores[rng.random(scores.shape) < 0.5] = -np.inf
    scores[3] = -np.inf
    best = TopPlaces(rows=9, number=5)
    for first in range(0, 40, block):
        best.add(first, scores[:, first : first + block])
    for row, found in zip(scores, best.results(), strict=True):
        order = sorted(np.flatnonzero(np.isfinite(row)).tolist(), key=lambda place: (-row[place], place))
        assert [place for place, _ in found] == order[:5]
        assert [score for _, score in found] == row[order[:5]].tolist()
