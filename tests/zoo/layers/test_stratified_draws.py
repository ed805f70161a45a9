from __future__ import annotations

import pytest
import torch

from zoo.layers.stratified_draws import expected_draws, stratified_draws


def test_expectations_follow_the_weights_up_to_one() -> None:
    weights = torch.tensor([50.0, 30.0, 4.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    found = expected_draws(weights, 4)
    torch.testing.assert_close(found, torch.tensor([1, 1, 1, 0.5, 0.25, 0.25], dtype=torch.float64))
    assert expected_draws(weights, 6).tolist() == expected_draws(weights, 60).tolist() == [1.0] * 6
    torch.testing.assert_close(expected_draws(weights, 1), weights / weights.sum())


@pytest.mark.parametrize("draws", [1, 7, 300, 999, 1000])
def test_expectations_sum_to_the_draws(draws: int) -> None:
    weights = (torch.arange(1000, dtype=torch.float64) + 1) ** -1.1
    found = expected_draws(weights, draws)
    assert float(found.sum()) == pytest.approx(draws, rel=1e-12)
    assert 0 < float(found.min()) <= float(found.max()) <= 1
    assert bool((found.diff() <= 1e-15).all())


def test_each_class_is_drawn_as_often_as_expected() -> None:
    """4,000 draws of 30 of 100 classes, the expected number of each within 4.5 standard deviations."""
    expected = expected_draws((torch.arange(100, dtype=torch.float64) + 1) ** -0.7, 30)
    generator, runs = torch.Generator().manual_seed(0), 4000
    counts = torch.zeros(100, dtype=torch.float64)
    for _ in range(runs):
        drawn = stratified_draws(expected.cumsum(0), generator)
        assert len(drawn) == 30
        assert int(drawn.bincount().max()) <= 2
        counts += drawn.bincount(minlength=100)
    certain = expected == 1
    assert 0 < int(certain.sum()) < 30
    assert bool((counts[certain] == runs).all()), "what is expected once is there each time"
    # shares of two units are independent, so one class varies no more than by chances in a single unit
    deviations = (expected * runs).sqrt()
    assert float(((counts - expected * runs) / deviations)[~certain].abs().max()) < 4.5


def test_all_classes_once() -> None:
    expected = expected_draws(torch.rand(500, dtype=torch.float64).sort(descending=True).values, 500)
    assert stratified_draws(expected.cumsum(0)).tolist() == list(range(500))
