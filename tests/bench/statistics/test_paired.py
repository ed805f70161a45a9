from __future__ import annotations

import numpy as np
import pytest

from bench.examples import Examples
from bench.statistics.paired import UNKNOWN_SEEDS, all_pairs, paired

QUERIES = 300
REPEATS = 150


@pytest.fixture(autouse=True)
def _fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.statistics.resampling.RESAMPLES", 300)


def two_models(rng: np.random.Generator, gain: float) -> tuple[Examples, Examples]:
    """Two variants of one model: they agree on 15 queries of 16; correlation 0.94, spread of differences 0.15.

    No test can find 3 points in 9 of 10 samples of 300 if the differences spread by more than 0.16.
    """
    base = np.where(rng.random(QUERIES) < 0.28, 0.0, np.where(rng.random(QUERIES) < 0.6, 1.0, rng.random(QUERIES)))
    runs = []
    for lift in (gain, 0.0):
        moved = rng.random(QUERIES) < 0.03
        values = np.where(moved, rng.permutation(base), base)
        runs.append(values + lift)
    names = np.arange(QUERIES) + int(rng.integers(1 << 40))
    return (
        Examples.of_values("ndcg_at_10", runs[0], unit="query", ids=names.tolist()),
        Examples.of_values("ndcg_at_10", runs[1], unit="query", ids=names.tolist()),
    )


def share_found(gain: float) -> float:
    rng = np.random.default_rng(7)
    found = [paired(*two_models(rng, gain)).p <= 0.05 for _ in range(REPEATS)]
    return float(np.mean(found))


def test_three_points_are_found() -> None:
    assert share_found(0.03) >= 0.9


def test_no_difference_is_not_found() -> None:
    rng = np.random.default_rng(11)
    found = [paired(*two_models(rng, 0.0)).p <= 0.05 for _ in range(400)]
    assert np.mean(found) <= 0.06


@pytest.mark.parametrize("statistic", ["spearman", "mcc"])
def test_no_difference_is_not_found_in_other_statistics(statistic: str) -> None:
    rng = np.random.default_rng(13)
    found = []
    for _ in range(200):
        gold, shared = rng.normal(size=100), rng.normal(size=100)
        sides = [0.8 * gold + 0.4 * shared + 0.4 * rng.normal(size=100) for _ in range(2)]
        names = (np.arange(100) + int(rng.integers(1 << 40))).tolist()
        if statistic == "mcc":
            gold, sides = (gold > 0).astype(float), [(side > 0).astype(float) for side in sides]
        models = [Examples.of_predictions("x", statistic, gold, side, ids=names) for side in sides]
        found.append(paired(models[0], models[1]).p <= 0.05)
    # the standard deviation of a rate of 5 % in 200 is 1.5 points
    assert np.mean(found) <= 0.08


def test_few_differences_prove_nothing() -> None:
    base = np.ones(300)
    worse = base.copy()
    worse[:5] = 0
    first, second = (Examples.of_values("x", v, unit="query") for v in (base, worse))
    found = paired(first, second)
    assert found.difference == pytest.approx(5 / 300)
    assert found.p >= 2**-4


def test_equal_models_have_no_difference() -> None:
    one = Examples.of_values("x", np.linspace(0, 1, 50), unit="query")
    found = paired(one, one)
    assert (found.difference, found.p) == (0.0, 1.0)


def test_seeds_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    values = [[hard + rng.normal(0, 0.01, 200) + lift for lift in lifts] for lifts in ((0.1, 0.0, 0.05), (0, 0.02))]
    runs = [[Examples.of_values("x", v, unit="query") for v in model] for model in values]
    single = paired(runs[0][0], runs[1][0])
    several = paired(runs[0], runs[1])
    assert single.note == UNKNOWN_SEEDS
    assert several.note == ""
    assert several.seeds == (3, 2)
    assert several.high - several.low > 5 * (single.high - single.low)


def test_pairs_share_their_order() -> None:
    runs = [[Examples.of_values("x", np.linspace(0, 1, 50) + lift, unit="q")] for lift in (0.0, 0.5, 0.2)]
    found = all_pairs(runs)
    assert list(found) == [(0, 1), (0, 2), (1, 2)]
    assert found[0, 1].difference == pytest.approx(-0.5)


def test_other_examples_are_refused() -> None:
    one = Examples.of_values("x", [0.1, 0.2, 0.3], unit="query", ids=["a", "b", "c"])
    other = Examples.of_values("x", [0.1, 0.2, 0.3], unit="query", ids=["a", "b", "d"])
    with pytest.raises(ValueError, match="not the same examples in test/default"):
        paired(one, other)
