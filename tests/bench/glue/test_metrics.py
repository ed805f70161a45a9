from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as official

from bench.glue.metrics import METRICS, UndefinedScoreError, score

CLASSES = {
    "accuracy": official.accuracy_score,
    "mcc": official.matthews_corrcoef,
    "f1": lambda gold, predicted: official.f1_score(gold, predicted, zero_division=0),
}
CORRELATIONS = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}


@pytest.mark.parametrize("count", [2, 7, 100, 40_430])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("name", CLASSES)
def test_equals_scikit_learn(name: str, share: float, count: int) -> None:
    rng = np.random.default_rng(count)
    gold = (rng.random(count) < share).astype(np.int64)
    predicted = np.where(rng.random(count) < 0.3, 1 - gold, gold)
    assert METRICS[name](gold, predicted) == pytest.approx(CLASSES[name](gold, predicted), abs=1e-12)


def test_three_classes() -> None:
    rng = np.random.default_rng(0)
    gold, predicted = rng.integers(3, size=1000), rng.integers(3, size=1000)
    assert METRICS["accuracy"](gold, predicted) == pytest.approx(official.accuracy_score(gold, predicted), abs=1e-12)


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("gold", [[0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
@pytest.mark.parametrize("predicted", [[1, 1, 1, 1], [0, 0, 0, 0]])
@pytest.mark.parametrize("name", CLASSES)
def test_one_class_is_scored_as_the_official_metric_does(name: str, gold: list[int], predicted: list[int]) -> None:
    found = METRICS[name](np.array(gold), np.array(predicted))
    assert found == CLASSES[name](gold, predicted)
    if name == "mcc":
        assert found == 0


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("count", [3, 50, 1500])
@pytest.mark.parametrize("name", CORRELATIONS)
def test_equals_scipy(name: str, count: int, ties: bool) -> None:
    rng = np.random.default_rng(count)
    gold = rng.normal(size=count)
    predicted = gold + rng.normal(size=count)
    if ties and count > 3:
        gold, predicted = gold.round(1), predicted.round(1)
    official_score: Callable[..., Any] = CORRELATIONS[name]
    assert METRICS[name](gold, predicted) == pytest.approx(official_score(gold, predicted).statistic, abs=1e-12)


@pytest.mark.parametrize("name", CORRELATIONS)
@pytest.mark.parametrize("constant", ["predictions", "gold scores"])
def test_a_correlation_with_a_constant_is_refused(name: str, constant: str) -> None:
    sides = [np.arange(5.0), np.full(5, 2.5)]
    gold, predicted = sides if constant == "predictions" else sides[::-1]
    with pytest.raises(UndefinedScoreError, match=f"all 5 {constant}" if name == "pearson" else "no correlation"):
        METRICS[name](gold, predicted)


def test_several_by_name() -> None:
    gold, predicted = np.array([1, 0, 1]), np.array([1, 1, 1])
    assert score(("f1", "accuracy"), gold, predicted) == {"f1": pytest.approx(0.8), "accuracy": pytest.approx(2 / 3)}
