from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.geometry import hubness
from bench.geometry.hubness import hubness_skew, k_occurrences
from bench.geometry.undefined import UndefinedError

Rows = NDArray[np.float64]


def star(leaves: int) -> Rows:
    """A centre that is the nearest of every leaf; the leaves are at right angles."""
    return np.concatenate([np.ones((1, leaves)), np.eye(leaves)])


def test_the_centre_of_a_star_is_the_hub() -> None:
    occurrences = k_occurrences(star(30), k=1)
    assert occurrences[0] == 30
    assert occurrences[1] == 1, "the nearest of the centre: of equals the first"
    assert occurrences.sum() == 31
    values = np.array([30, 1] + [0] * 29)
    centred = values - values.mean()
    assert hubness_skew(star(30), k=1) == pytest.approx((centred**3).mean() / (centred**2).mean() ** 1.5)
    assert hubness_skew(star(30), k=1) > 5


def test_a_ring_has_no_hub() -> None:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert (k_occurrences(ring, k=2) == 2).all()
    with pytest.raises(UndefinedError, match="equally often"):
        hubness_skew(ring, k=2)


def test_lengths_do_not_matter_and_blocks_do_not_show(
    gaussian: Callable[..., Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = gaussian(90, 5)
    expected = k_occurrences(rows)
    lengths = np.random.default_rng(1).uniform(0.1, 10, size=(90, 1))
    monkeypatch.setattr(hubness, "_BLOCK_ROWS", 7)
    assert (k_occurrences(lengths * rows) == expected).all()


def test_a_common_mean_makes_hubs(gaussian: Callable[..., Rows]) -> None:
    rows = gaussian(500, 100)
    assert hubness_skew(rows + 1) > hubness_skew(rows) + 1


def test_too_few_vectors_have_no_neighbours() -> None:
    with pytest.raises(UndefinedError, match="10 vectors have no 10 neighbours"):
        hubness_skew(np.eye(10))
