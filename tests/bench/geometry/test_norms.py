from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.geometry import norms
from bench.geometry.undefined import UndefinedError

Rows = NDArray[np.float64]


def test_opposite_rows_have_no_mean(crosses: Rows) -> None:
    assert norms.norm_of_mean(crosses) == 0
    assert norms.mean_norm_ratio(crosses) == 0
    assert norms.mean_norm(crosses) == 2.5


def test_one_repeated_row_is_all_mean() -> None:
    rows = np.tile([[1.0, -2.0, 2.0]], (5, 1))
    assert norms.mean_norm(rows) == 3
    assert norms.norm_of_mean(rows) == pytest.approx(3)
    assert norms.mean_norm_ratio(rows) == pytest.approx(1)


def test_the_ratio_is_free_of_scale_and_rotation(generic: Rows, rotation: Rows) -> None:
    ratio = norms.mean_norm_ratio(generic)
    assert 0.05 < ratio < 0.95
    assert norms.mean_norm_ratio(1e3 * generic @ rotation) == pytest.approx(ratio, rel=1e-12)


def test_values_of_single_vectors_have_the_ratio_as_mean(generic: Rows) -> None:
    assert norms.ratio_of_single_vectors(generic).mean() == pytest.approx(norms.mean_norm_ratio(generic), rel=1e-12)


def test_values_of_single_vectors_spread_as_resamples_do(gaussian: Callable[..., Rows]) -> None:
    rows = gaussian(400, 12) + 0.3
    rng = np.random.default_rng(0)
    resampled = [norms.mean_norm_ratio(rows[rng.integers(400, size=400)]) for _ in range(800)]
    expected = norms.ratio_of_single_vectors(rows).std() / np.sqrt(400)
    assert np.std(resampled) == pytest.approx(expected, rel=0.1)


def test_what_has_no_value_says_why(crosses: Rows) -> None:
    with pytest.raises(UndefinedError, match="every vector is zero"):
        norms.mean_norm_ratio(np.zeros((3, 2)))
    with pytest.raises(UndefinedError, match="the mean is zero"):
        norms.ratio_of_single_vectors(crosses)
    with pytest.raises(UndefinedError, match="vector 1 is zero"):
        norms.unit(np.array([[1.0], [0.0]]))
