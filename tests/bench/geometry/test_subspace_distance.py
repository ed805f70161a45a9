from __future__ import annotations

import math

import numpy as np
import pytest

from bench.geometry.subspace_distance import subspace_distance
from bench.geometry.undefined import UndefinedError

RNG = np.random.default_rng(0)
WORDS = RNG.normal(size=(400, 30))


@pytest.mark.parametrize("width", [10, 30, 50])
def test_a_linear_map_of_the_words_is_in_their_space(width: int) -> None:
    assert subspace_distance(WORDS, WORDS @ RNG.normal(size=(30, width))) < 1e-12


def test_a_random_table_is_outside_by_the_dimensions_that_are_left() -> None:
    found = [subspace_distance(WORDS, RNG.normal(size=(400, 30))) for _ in range(20)]
    assert np.mean(found) == pytest.approx(math.sqrt(1 - 30 / 400), abs=0.003)


def test_scale_and_basis_do_not_matter() -> None:
    classifier = RNG.normal(size=(400, 20))
    expected = subspace_distance(WORDS, classifier)
    assert subspace_distance(1e-3 * WORDS @ RNG.normal(size=(30, 30)), 1e5 * classifier) == pytest.approx(expected)


def test_repeated_columns_add_no_dimension() -> None:
    classifier = RNG.normal(size=(400, 20))
    twice = np.concatenate([WORDS, WORDS], axis=1)
    assert subspace_distance(twice, classifier) == pytest.approx(subspace_distance(WORDS, classifier))


def test_parts_inside_and_outside() -> None:
    basis, _ = np.linalg.qr(RNG.normal(size=(400, 31)))
    classifier = 3 * basis[:, :1] + 4 * basis[:, 30:]
    assert subspace_distance(basis[:, :30], classifier) == pytest.approx(0.8)


def test_a_table_of_zeros_has_no_distance() -> None:
    with pytest.raises(UndefinedError, match="output table is zero"):
        subspace_distance(WORDS, np.zeros((400, 3)))
