from __future__ import annotations

import pytest

from bench.statistics.multiple import holm, ranks


def test_holm_by_hand() -> None:
    # sorted: .001 x 5, .01 x 4, .02 x 3, .03 x 2 -> not below .06, .8 x 1
    assert holm([0.8, 0.01, 0.03, 0.001, 0.02]) == pytest.approx([0.8, 0.04, 0.06, 0.005, 0.06])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_ranks_of_losses_and_of_ties() -> None:
    pairs = {(0, 1): (0.5, 0.001), (0, 2): (0.4, 0.001), (1, 2): (-0.1, 0.3)}
    assert ranks(3, pairs, higher_is_better=True) == [1, 2, 2]
    assert ranks(3, pairs, higher_is_better=False) == [3, 1, 1]
    assert ranks(3, {pair: (d, 0.06) for pair, (d, _) in pairs.items()}, higher_is_better=True) == [1, 1, 1]
