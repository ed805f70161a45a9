"""The official metrics of GLUE, in float64: those of scikit-learn and SciPy, which its evaluation code calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torchmetrics.functional.classification import binary_stat_scores
from torchmetrics.functional.regression import pearson_corrcoef

Values = NDArray[np.generic]


class UndefinedScoreError(ValueError):
    """A metric has no value for these predictions."""


def score(names: Sequence[str], gold: Values, predicted: Values) -> dict[str, float]:
    """The metrics `names` of predictions.

    Args:
        names: of `METRICS`.
        gold: class numbers, or scores of a regression: (n,).
        predicted: the same: (n,).

    Raises:
        UndefinedScoreError: if one of them has no value.
    """
    return {name: METRICS[name](gold, predicted) for name in names}


def matthews(gold: Values, predicted: Values) -> float:
    """Matthews correlation of two classes, 0 where one side has a single class.

    torchmetrics 1.9 gives a small number other than 0 there, or 1 where that single class is right everywhere, and sums
    in float32; so only the counts are its own.

    Example:
        >>> matthews(np.array([0, 1, 1]), np.array([1, 1, 1]))
        0.0
    """
    tp, fp, tn, fn = _counts(gold, predicted)
    squared = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(squared) if squared else 0.0


def accuracy(gold: Values, predicted: Values) -> float:
    """Share of right classes."""
    return float(np.mean(gold == predicted))


def f1(gold: Values, predicted: Values) -> float:
    """F1 of class 1, 0 where it is neither found nor there."""
    tp, fp, _, fn = _counts(gold, predicted)
    return 2 * tp / (2 * tp + fp + fn) if tp else 0.0


def pearson(gold: Values, predicted: Values) -> float:
    """Pearson correlation.

    Raises:
        UndefinedScoreError: if either side is constant.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (predicted, gold)]
    for name, side in zip(("predictions", "gold scores"), sides, strict=True):
        if np.ptp(side) == 0:
            raise UndefinedScoreError(f"all {len(side)} {name} are {side[0]:g}, which no correlation is defined for")
    return float(pearson_corrcoef(torch.tensor(sides[0]), torch.tensor(sides[1])))


def spearman(gold: Values, predicted: Values) -> float:
    """Spearman correlation: that of Pearson between the ranks, ties at their mean.

    torchmetrics 1.9 ranks in float32 and adds 1e-6 to the denominator; so the ranks are SciPy's.

    Raises:
        UndefinedScoreError: if either side is constant.
    """
    return pearson(rankdata(gold), rankdata(predicted))


METRICS: Mapping[str, Callable[[Values, Values], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "mcc": matthews,
    "pearson": pearson,
    "spearman": spearman,
}


def _counts(gold: Values, predicted: Values) -> tuple[int, int, int, int]:
    """True and false positives, true and false negatives."""
    tp, fp, tn, fn, _ = binary_stat_scores(torch.tensor(predicted), torch.tensor(gold)).tolist()
    return tp, fp, tn, fn
