from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics

from bench.statistics.estimators import ESTIMATORS, Columns

ROWS = 60


def columns(rng: np.random.Generator) -> dict[str, Columns]:
    gold = rng.integers(0, 3, ROWS)
    guess = np.where(rng.random((ROWS, 2)) < 0.7, gold[:, None], rng.integers(0, 4, (ROWS, 2)))
    scale = np.round(rng.normal(size=ROWS), 1)
    near = np.round(scale[:, None] + rng.normal(size=(ROWS, 2)), 1)
    binary = rng.integers(0, 2, ROWS)
    scores = np.round(binary[:, None] + rng.normal(size=(ROWS, 2)), 1)
    return {
        "labels": {"gold": gold, "predicted": guess},
        "values": {"gold": scale, "predicted": near},
        "pairs": {"gold": binary, "scores": scores},
    }


def per_column(score: Any, reduce: Any, name: str) -> Any:
    return lambda c: reduce([score(c["gold"], side) for side in c[name].T])


REFERENCES = {
    "accuracy": ("labels", per_column(metrics.accuracy_score, np.mean, "predicted")),
    "macro_f1": ("labels", per_column(lambda g, p: metrics.f1_score(g, p, average="macro"), np.mean, "predicted")),
    "mcc": ("labels", per_column(metrics.matthews_corrcoef, np.mean, "predicted")),
    "f1": ("labels", per_column(lambda g, p: metrics.f1_score(g == 1, p == 1), np.mean, "predicted")),
    "pearson": ("values", per_column(lambda g, p: stats.pearsonr(g, p).statistic, np.mean, "predicted")),
    "spearman": ("values", per_column(lambda g, p: stats.spearmanr(g, p).statistic, np.mean, "predicted")),
    "best_ap": ("pairs", per_column(metrics.average_precision_score, max, "scores")),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_weights_are_repetitions(name: str) -> None:
    rng = np.random.default_rng(1)
    kind, reference = REFERENCES[name]
    data = columns(rng)[kind]
    weights = np.stack([np.ones(ROWS), np.bincount(rng.integers(0, ROWS, ROWS), minlength=ROWS)]).astype(float)
    found = ESTIMATORS[name](data, weights)
    for draw, value in zip(weights, found, strict=True):
        rows = np.repeat(np.arange(ROWS), draw.astype(int))
        assert value == pytest.approx(reference({key: column[rows] for key, column in data.items()}), abs=1e-12)


@pytest.mark.parametrize("kind", ["f1", "accuracy"])
def test_best_thresholds_lie_between_different_scores(kind: str) -> None:
    rng = np.random.default_rng(2)
    gold = rng.integers(0, 2, ROWS)
    scores = np.round(gold + rng.normal(size=ROWS), 1)
    score = metrics.f1_score if kind == "f1" else metrics.accuracy_score
    wanted = max(score(gold, scores >= threshold) for threshold in np.unique(scores)[1:])
    found = ESTIMATORS[f"best_{kind}"]({"gold": gold, "scores": scores[:, None]}, np.ones((1, ROWS)))
    assert found[0] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize("constant", [0.3, 0.0])
def test_correlation_with_a_constant_is_undefined(name: str, constant: float) -> None:
    gold = np.arange(9.0)
    data = {"gold": gold, "predicted": np.full((9, 1), constant)}
    assert np.isnan(ESTIMATORS[name](data, np.ones((1, 9)))).all()


def test_mcc_of_one_class_is_zero() -> None:
    data = {"gold": np.array([0, 1, 1]), "predicted": np.ones((3, 1), int)}
    assert ESTIMATORS["mcc"](data, np.ones((1, 3))).tolist() == [0.0]


def test_tight_similarities_are_no_constant() -> None:
    gold: NDArray[Any] = np.arange(50.0)
    data = {"gold": gold, "predicted": 0.999 + 1e-7 * gold[:, None]}
    assert ESTIMATORS["pearson"](data, np.ones((1, 50)))[0] == pytest.approx(1.0)
