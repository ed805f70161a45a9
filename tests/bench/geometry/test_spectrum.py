from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.geometry.spectrum import effective_rank, inverse_condition_percent, iso_score, singular_values
from bench.geometry.undefined import UndefinedError

Rows = NDArray[np.float64]


def score(rows: Rows) -> float:
    return iso_score(singular_values(rows, centred=True), rows.shape[1])


def test_a_round_cloud_uses_all_directions(gaussian: Callable[..., Rows]) -> None:
    rows = gaussian(20_000, 8)
    assert 0.99 < score(rows) <= 1
    assert 7.99 < effective_rank(singular_values(rows)) <= 8
    assert inverse_condition_percent(singular_values(rows)) > 95


def test_a_line_uses_one(gaussian: Callable[..., Rows]) -> None:
    rows = gaussian(100, 1) * np.array([[1.0, 2.0, 3.0]])
    assert score(rows) == pytest.approx(0, abs=1e-12)
    assert effective_rank(singular_values(rows)) == pytest.approx(1, abs=1e-12)
    assert inverse_condition_percent(singular_values(rows)) == 0


@pytest.mark.parametrize("used", [1, 2, 5, 9])
def test_iso_score_is_the_share_of_equally_used_dimensions(used: int) -> None:
    axes = np.eye(9)[:used]
    assert score(np.concatenate([axes, -axes])) == pytest.approx((used - 1) / 8, abs=1e-12)


def test_iso_score_knows_neither_mean_nor_scale(generic: Rows, rotation: Rows) -> None:
    expected = score(generic)
    assert 0 < expected < 1
    assert score(100 * generic @ rotation + 50) == pytest.approx(expected, rel=1e-8)


def test_opposite_rows_have_the_closed_form(crosses: Rows) -> None:
    values = singular_values(crosses)
    np.testing.assert_allclose(values, np.sqrt(2) * np.array([4, 3, 2, 1]), rtol=1e-12)
    assert inverse_condition_percent(values) == pytest.approx(25)
    shares = np.array([4, 3, 2, 1]) / 10
    assert effective_rank(values) == pytest.approx(np.prod(shares**-shares))


def test_the_mean_lowers_the_plain_condition_and_not_the_centred(generic: Rows) -> None:
    moved = generic + 100
    plain, centred = (
        [inverse_condition_percent(singular_values(rows, centred=c)) for rows in (generic, moved)]
        for c in (False, True)
    )
    assert plain[1] < 0.1 * plain[0]
    assert centred[1] == pytest.approx(centred[0], rel=1e-8)


def test_what_has_no_value_says_why() -> None:
    equal = np.tile([[0.1, 0.7, 0.3]], (5, 1))
    for measure in (score, lambda rows: inverse_condition_percent(singular_values(rows, centred=True))):
        with pytest.raises(UndefinedError, match="equal"):
            measure(equal)
    with pytest.raises(UndefinedError, match="zero"):
        effective_rank(np.zeros(3))
    with pytest.raises(UndefinedError, match="compares directions"):
        score(np.array([[1.0], [2.0]]))
