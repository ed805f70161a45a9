from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.geometry import sphere
from bench.geometry.sphere import alignment, uniformity
from bench.geometry.undefined import UndefinedError

Rows = NDArray[np.float64]


def test_pairs_have_the_closed_forms(generic: Rows) -> None:
    assert alignment(generic, 3 * generic) == pytest.approx(0, abs=1e-12)
    assert alignment(generic, -generic) == pytest.approx(4)
    assert alignment(np.eye(3), np.roll(np.eye(3), 1, axis=0)) == pytest.approx(2)


def test_uniformity_has_the_closed_forms(generic: Rows) -> None:
    assert uniformity(np.ones((5, 3))) == pytest.approx(0, abs=1e-12)
    assert uniformity(np.eye(6)) == pytest.approx(-4)
    assert uniformity(np.array([[1.0], [-1.0]])) == pytest.approx(-8)
    assert uniformity(7 * generic) == pytest.approx(uniformity(generic), rel=1e-12)


def test_uniform_vectors_are_more_uniform_than_a_cone(gaussian: Callable[..., Rows]) -> None:
    rows = gaussian(500, 32)
    assert uniformity(rows) < uniformity(rows + 1) - 1


def test_blocks_do_not_show(generic: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = uniformity(generic)
    for rows in (1, 7, 299, 300):
        monkeypatch.setattr(sphere, "_BLOCK_ROWS", rows)
        assert uniformity(generic) == pytest.approx(expected, rel=1e-12)


def test_what_has_no_value_says_why() -> None:
    with pytest.raises(UndefinedError, match="no pairs"):
        alignment(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(UndefinedError, match="fewer than two"):
        uniformity(np.ones((1, 3)))
