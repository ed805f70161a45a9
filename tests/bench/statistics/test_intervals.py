from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from bench.examples import Examples, Group
from bench.statistics.intervals import interval, margin, p_value, seed_variance, wilson

Make = Callable[[np.random.Generator, int], Examples]
SAMPLES = 800


def ids(rng: np.random.Generator, n: int) -> list[int]:
    """Resamples depend on the ids: other ones for each sample."""
    return (np.arange(n) + int(rng.integers(1 << 40))).tolist()


def skewed(rng: np.random.Generator, n: int) -> Examples:
    """Like nDCG of a hard task: 70 % zeros and a skewed rest."""
    values = np.where(rng.random(n) < 0.7, 0, rng.beta(1, 2, n))
    return Examples.of_values("ndcg_at_10", values, unit="query", ids=ids(rng, n))


def correlated(rng: np.random.Generator, n: int) -> Examples:
    gold = rng.normal(size=n)
    predicted = 0.8 * gold + 0.6 * rng.normal(size=n)
    return Examples.of_predictions("cosine_spearman", "spearman", np.round(gold), predicted, ids=ids(rng, n))


def judged(rng: np.random.Generator, n: int) -> Examples:
    """Like CoLA: 69 % acceptable, and a model that says so too often."""
    gold = (rng.random(n) < 0.69).astype(int)
    right = rng.random(n) < np.where(gold == 1, 0.92, 0.55)
    return Examples.of_predictions("mcc", "mcc", gold, np.where(right, gold, 1 - gold), ids=ids(rng, n))


@pytest.mark.parametrize(
    ("make", "size"),
    [(skewed, 50), (skewed, 300), (correlated, 60), (judged, 80)],
)
def test_coverage(make: Make, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.statistics.resampling.RESAMPLES", 400)
    rng = np.random.default_rng(size)
    truth = make(rng, 400_000).statistic()
    found = [interval(make(rng, size)) for _ in range(SAMPLES)]
    covered = np.mean([i.low <= truth <= i.high for i in found])
    # the standard deviation of a coverage of 95 % in 800 samples is 0.8 points
    assert covered >= 0.93


@pytest.mark.parametrize(("share", "size"), [(0.6, 50), (0.9, 50), (0.93, 50), (0.95, 50), (0.93, 300), (0.7, 300)])
def test_coverage_of_a_share_is_exact(share: float, size: int) -> None:
    right = np.arange(size + 1)
    covered = [low <= share <= high for low, high in (wilson(count / size, size, 0.95) for count in right)]
    assert stats.binom.pmf(right, size, share)[covered].sum() >= 0.93


def test_coverage_of_the_jackknife(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.statistics.resampling.MANY", 100)
    rng = np.random.default_rng(3)
    truth = correlated(rng, 400_000).statistic()
    found = [interval(correlated(rng, 200)) for _ in range(SAMPLES)]
    assert found[0].method == "jackknife"
    assert np.mean([i.low <= truth <= i.high for i in found]) >= 0.93


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.1])
def test_coverage_over_three_seeds(spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.statistics.resampling.RESAMPLES", 400)
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(SAMPLES):
        hard, names = rng.normal(0.5, 0.3, 100), ids(rng, 100)
        runs = [
            Examples.of_values("x", hard + rng.normal(0, 0.1, 100) + rng.normal(0, spread), unit="query", ids=names)
            for _ in range(3)
        ]
        found = interval(runs)
        hits += found.low <= 0.5 <= found.high
    assert hits / SAMPLES >= 0.93


def test_a_rerun_gives_the_same_and_other_ids_another() -> None:
    values = np.random.default_rng(0).random(80)
    first, again = (Examples.of_values("x", values, unit="query") for _ in range(2))
    other = Examples.of_values("x", values, unit="query", ids=[f"q{i}" for i in range(80)])
    assert interval(first) == interval(again)
    assert interval(first) != interval(other)


def test_groups_are_resampled_apart() -> None:
    # what differs between the groups is no chance: the interval is as narrow as that of one group
    rng = np.random.default_rng(0)
    values = [rng.normal(centre, 0.1, 100) for centre in (0.0, 10.0)]
    groups = tuple(Group(f"test/{i}", np.arange(100), {"values": v}) for i, v in enumerate(values))
    found = interval(Examples("x", "mean", "query", groups))
    assert found.high - found.low < 0.05
    assert found.count == 200


def test_resamples_of_the_data_have_students_t() -> None:
    values = np.array([0.5, 0.52, 0.48, 0.51, 0.49])
    group = Group("test/default", np.arange(5), {"values": values})
    examples = Examples("v_measure", "resampled", "experiment", (group,))
    assert examples.statistic() == pytest.approx(0.5)
    found = interval(examples)
    assert (found.high - found.low) / 2 == pytest.approx(2.776 * values.std(ddof=1), rel=0.05)


def test_no_interval_where_nothing_is_known() -> None:
    with pytest.raises(ValueError, match="one query says nothing"):
        interval(Examples.of_values("x", [0.5], unit="query"))
    with pytest.raises(ValueError, match="undefined: all values"):
        interval(Examples.of_predictions("x", "spearman", [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]))
    rare = [0.0] * 30 + [1.0]
    with pytest.raises(ValueError, match=r"undefined in 3.% of the resamples"):
        interval(Examples.of_predictions("x", "pearson", rare, np.arange(31.0)))


def test_a_constant_score_has_an_interval_without_width() -> None:
    found = interval(Examples.of_values("x", [0.5] * 20, unit="query"))
    assert (found.low, found.high) == (0.5, 0.5)


def test_seeds_and_examples_add_up() -> None:
    assert seed_variance(np.array([0.4])) == (0.0, 0)
    variance, freedom = seed_variance(np.array([0.4, 0.6]))
    assert variance == pytest.approx(0.01)
    assert freedom == 1
    parts = [(0.01, 100), (0.04, 2)]
    assert margin(parts, 0.95) == pytest.approx(((0.1 * 1.984) ** 2 + (0.2 * 4.303) ** 2) ** 0.5, rel=1e-3)
    assert p_value(parts, margin(parts, 0.95)) == pytest.approx(0.05)
    assert p_value(parts, 1e9) < 1e-9
    assert p_value([(0.0, 5)], 0.5) == 1.0
