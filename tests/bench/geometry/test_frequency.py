from __future__ import annotations

import numpy as np
import pytest

from bench.geometry.frequency import log_count_pearson, log_count_spearman, means_by_decile, projections_on_mean
from bench.geometry.undefined import UndefinedError

COUNTS = np.array([1, 10, 100, 1000, 0])


def test_a_law_in_the_logarithm_is_found_whatever_unseen_tokens_do() -> None:
    lengths = np.array([1.0, 2.0, 3.0, 4.0, -1e9])
    assert log_count_pearson(lengths, COUNTS) == pytest.approx(1)
    assert log_count_pearson(-lengths, COUNTS) == pytest.approx(-1)
    assert log_count_spearman(np.exp(5 * lengths), COUNTS) == pytest.approx(1)
    assert log_count_pearson(np.exp(lengths), COUNTS) < 0.95


def test_deciles_are_of_those_that_occur_rarest_first() -> None:
    counts = np.concatenate([np.arange(20, 0, -1), np.zeros(7, np.int64)])
    values = np.concatenate([np.arange(20.0), np.full(7, np.nan)])
    expected = [(2 * i + 2 * i + 1) / 2 for i in reversed(range(10))]
    np.testing.assert_allclose(means_by_decile(values, counts), expected)
    with pytest.raises(UndefinedError, match="9 tokens occur"):
        means_by_decile(values, np.concatenate([np.ones(9, np.int64), np.zeros(18, np.int64)]))


def test_projections_are_on_the_mean_of_all() -> None:
    rows = np.array([[2.0, 0.0], [0.0, 4.0]])
    assert projections_on_mean(rows).tolist() == [2.0, 8.0]


def test_what_is_constant_correlates_with_nothing() -> None:
    for measure in (log_count_pearson, log_count_spearman):
        with pytest.raises(UndefinedError, match="all values are equal"):
            measure(np.full(5, 0.3), COUNTS)
        with pytest.raises(UndefinedError, match="all counts are equal"):
            measure(np.arange(5.0), np.full(5, 3))
        with pytest.raises(UndefinedError, match="fewer than two"):
            measure(np.arange(5.0), np.array([0, 0, 3, 0, 0]))
