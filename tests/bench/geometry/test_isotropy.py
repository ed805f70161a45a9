from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import linalg

from bench.geometry import isotropy as module
from bench.geometry.isotropy import isotropy, isotropy_one_sided, isotropy_unit
from bench.geometry.undefined import UndefinedError

Rows = NDArray[np.float64]


def test_a_round_cloud_is_isotropic(gaussian: Callable[..., Rows]) -> None:
    rows = gaussian(20_000, 8)
    for measure in (isotropy, isotropy_one_sided, isotropy_unit):
        assert 0.9 < measure(rows) <= 1


def test_one_repeated_row_has_the_closed_form() -> None:
    rows = np.tile([[0.6, 0.8]], (9, 1))  # c = mu/||mu||: Z = 9 e, and 9 / e the other way
    assert isotropy(rows) == pytest.approx(np.exp(-2), rel=1e-12)
    assert isotropy_one_sided(rows) == pytest.approx(np.exp(-1), rel=1e-12)
    assert isotropy_unit(5 * rows) == pytest.approx(np.exp(-2), rel=1e-12)


def test_opposite_rows_have_the_closed_form(crosses: Rows) -> None:
    weakest, strongest = (2 * np.cosh(length) + 6 for length in (1.0, 4.0))
    assert isotropy(crosses) == pytest.approx(weakest / strongest, rel=1e-12)
    assert isotropy_one_sided(crosses) == pytest.approx(weakest / strongest, rel=1e-12)


def test_neither_signs_nor_rotation_nor_the_solver_matter(
    generic: Rows, rotation: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, one_sided = isotropy(generic), isotropy_one_sided(generic)
    assert expected < 0.9
    assert isotropy(-generic) == pytest.approx(expected, rel=1e-12)
    assert isotropy(generic @ rotation) == pytest.approx(expected, rel=1e-10)
    for solver in (_by_svd, _flipped, _shuffled):
        monkeypatch.setattr(np.linalg, "eigh", solver)
        assert isotropy(generic) == pytest.approx(expected, rel=1e-10)
        assert isotropy_one_sided(generic) == pytest.approx(one_sided, rel=1e-10)


def _by_svd(matrix: Rows) -> tuple[Rows, Rows]:
    _, values, vectors = linalg.svd(matrix)
    return values, vectors.T


def _flipped(matrix: Rows) -> tuple[Rows, Rows]:
    values, vectors = linalg.eigh(matrix)
    return values, vectors * np.array([1, -1, -1, 1, -1, 1, -1])


def _shuffled(matrix: Rows) -> tuple[Rows, Rows]:
    values, vectors = linalg.eigh(matrix)
    return values[::-1], vectors[:, ::-1]


def test_only_the_unit_version_is_free_of_scale(generic: Rows) -> None:
    assert isotropy_unit(100 * generic) == pytest.approx(isotropy_unit(generic), rel=1e-10)
    assert isotropy(1e-3 * generic) > 0.99 > isotropy(generic) > isotropy(10 * generic)


def test_long_rows_do_not_overflow(generic: Rows) -> None:
    for scale in (1e3, 1e5):
        value = isotropy(scale * generic)
        assert np.isfinite(value)
        assert 0 <= value < 1e-100


def test_blocks_do_not_show(generic: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = isotropy(generic)
    monkeypatch.setattr(module, "_BLOCK", 2 * len(generic))
    assert isotropy(generic) == pytest.approx(expected, rel=1e-12)


def test_zero_has_no_unit() -> None:
    with pytest.raises(UndefinedError, match="every vector is zero"):
        isotropy_unit(np.zeros((3, 2)))
