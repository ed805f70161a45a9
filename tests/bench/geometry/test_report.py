from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.geometry import report

Rows = NDArray[np.float64]


def counts_of(rows: Rows) -> NDArray[np.int64]:
    return np.arange(1, len(rows) + 1) ** 2


def test_a_table_has_every_measure_or_says_why_not(generic: Rows) -> None:
    known, unknown = report.of_table(generic, counts_of(generic)), report.of_table(generic, None)
    assert known.main == known.all["mean_norm_ratio"] > report.LEAST_RATIO
    assert not known.absent
    assert {*unknown.all, *unknown.absent} == {*known.all}
    assert {"mean_norm_decile_10", "norm_log_count_spearman"} <= unknown.absent.keys()
    assert all("not known" in reason for reason in unknown.absent.values())


def test_a_short_mean_is_not_projected_on(gaussian: Callable[..., Rows]) -> None:
    rows = gaussian(2000, 4)
    scores = report.of_table(rows, counts_of(rows))
    assert scores.main < 0.1
    assert set(scores.absent) == {f"mean_projection_log_count_{kind}" for kind in ("pearson", "spearman")}
    assert "not above 0.1" in next(iter(scores.absent.values()))


def test_one_repeated_row_has_no_spread() -> None:
    scores = report.of_table(np.tile([[0.1, 0.7, 0.3]], (20, 1)), np.arange(20) + 1)
    assert scores.main == pytest.approx(1)
    assert scores.all["effective_rank"] == pytest.approx(1)
    assert {"iso_score", "inverse_condition_percent_centred", "norm_log_count_pearson"} <= scores.absent.keys()


def test_sentences_have_the_measures_of_the_sphere_too(generic: Rows) -> None:
    scores = report.of_sentences(generic, generic[:9], generic[1:10])
    assert {"alignment", "uniformity", "hubness_skew_10"} <= scores.all.keys()
    assert not scores.absent
    few = report.of_sentences(generic[:5], generic[:0], generic[:0])
    assert few.absent == {"alignment": "there are no pairs", "hubness_skew_10": "5 vectors have no 10 neighbours each"}


@pytest.mark.parametrize(("value", "message"), [(np.nan, "not finite"), (np.inf, "not finite"), (0.0, "is zero")])
def test_broken_tables_are_refused(value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report.of_table(np.full((4, 3), value), None)
