"""Scores as functions of weighted examples, many weightings at once: what a bootstrap evaluates.

Each estimator takes the columns of a group of examples and `weights (draws, examples)`, how often each example was
drawn, and gives one score a draw, NaN where it is undefined. Weights of one give the score itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Values: TypeAlias = NDArray[Any]
Columns: TypeAlias = Mapping[str, Values]
Weights: TypeAlias = NDArray[np.float64]
Draws: TypeAlias = NDArray[Any]
Estimator: TypeAlias = Callable[[Columns, Weights], Draws]


def mean(columns: Columns, weights: Weights) -> Draws:
    """Mean of `values`.

    >>> mean({"values": np.array([0.0, 1.0])}, np.array([[1.0, 1.0], [1.0, 3.0]])).tolist()
    [0.5, 0.75]
    """
    return _divide(weights @ columns["values"], weights.sum(axis=1))


def ratio(columns: Columns, weights: Weights) -> Draws:
    """Summed `numerator` by summed `denominator`, such as bits by bytes."""
    return _divide(weights @ columns["numerator"], weights @ columns["denominator"])


def resampled(columns: Columns, weights: Weights) -> Draws:
    """Mean of `values` that are scores on resamples of the data already: one of them is a draw."""
    return mean(columns, weights)


def accuracy(columns: Columns, weights: Weights) -> Draws:
    """Share of equal labels, mean over experiments."""
    correct = (columns["predicted"] == columns["gold"][:, None]).mean(axis=1)
    return _divide(weights @ correct, weights.sum(axis=1))


def f1(columns: Columns, weights: Weights) -> Draws:
    """F1 of class 1, mean over experiments; 0 where it is undefined.

    >>> labels = {"gold": np.array([1, 1, 0]), "predicted": np.array([[1], [0], [0]])}
    >>> f1(labels, np.ones((1, 3))).round(4).tolist()
    [0.6667]
    """
    positive = columns["gold"] == 1
    truth = weights @ positive
    scores = []
    for guess in (columns["predicted"] == 1).T:
        scores.append(_divide(2 * (weights @ (guess & positive)), truth + weights @ guess, empty=0.0))
    return _mean_over_experiments(scores)


def macro_f1(columns: Columns, weights: Weights) -> Draws:
    """Mean F1 of the classes that occur, mean over experiments."""
    scores = []
    for hits, truth, guesses in _by_class(columns, weights):
        occurs = truth + guesses > 0
        scores.append(_divide(2 * hits, truth + guesses, empty=0.0).sum(axis=0) / occurs.sum(axis=0))
    return _mean_over_experiments(scores)


def mcc(columns: Columns, weights: Weights) -> Draws:
    """Matthews correlation of any number of classes, mean over experiments; 0 where one side is constant."""
    scores = []
    for hits, truth, guesses in _by_class(columns, weights):
        total = truth.sum(axis=0)
        covariance = hits.sum(axis=0) * total - (truth * guesses).sum(axis=0)
        spread = (total**2 - (truth**2).sum(axis=0)) * (total**2 - (guesses**2).sum(axis=0))
        scores.append(_divide(covariance, np.sqrt(np.maximum(spread, 0)), empty=0.0))
    return _mean_over_experiments(scores)


def pearson(columns: Columns, weights: Weights) -> Draws:
    """Pearson correlation of `gold` and `predicted`, mean over experiments."""
    gold, sides = columns["gold"][None], columns["predicted"].T
    return _mean_over_experiments([_correlation(gold, side[None], weights) for side in sides])


def spearman(columns: Columns, weights: Weights) -> Draws:
    """Spearman correlation of `gold` and `predicted`, ranks taken anew in each draw, mean over experiments."""
    gold = _ranks(columns["gold"], weights)
    sides = columns["predicted"].T
    return _mean_over_experiments([_correlation(gold, _ranks(side, weights), weights) for side in sides])


def best_ap(columns: Columns, weights: Weights) -> Draws:
    """Average precision of `gold` 1 by descending `scores`; of several scores of a pair the best one."""
    return _best(columns, weights, _average_precision)


def best_f1(columns: Columns, weights: Weights) -> Draws:
    """F1 at the best threshold of `scores`; of several scores of a pair the best one."""
    return _best(columns, weights, _threshold_f1)


def best_accuracy(columns: Columns, weights: Weights) -> Draws:
    """Accuracy at the best threshold of `scores`; of several scores of a pair the best one."""
    return _best(columns, weights, _threshold_accuracy)


def _average_of(first: Estimator, second: Estimator, columns: Columns, weights: Weights) -> Draws:
    return (first(columns, weights) + second(columns, weights)) / 2


ESTIMATORS: Mapping[str, Estimator] = {
    "mean": mean,
    "ratio": ratio,
    "resampled": resampled,
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "mcc": mcc,
    "pearson": pearson,
    "spearman": spearman,
    "best_ap": best_ap,
    "best_f1": best_f1,
    "best_accuracy": best_accuracy,
    "f1_accuracy": partial(_average_of, f1, accuracy),
    "pearson_spearman": partial(_average_of, pearson, spearman),
}


def _mean_over_experiments(scores: Sequence[Draws]) -> Draws:
    average: Draws = np.mean(scores, axis=0)
    return average


def _divide(top: Values, bottom: Values, empty: float = np.nan) -> Values:
    """`top / bottom`, `empty` where nothing is below."""
    top, bottom = np.broadcast_arrays(np.asarray(top, float), bottom)
    result: Values = np.divide(top, bottom, out=np.full(top.shape, empty), where=bottom > 0)
    return result


def _by_class(columns: Columns, weights: Weights) -> list[tuple[Values, Values, Values]]:
    """Of each experiment: weight of hits, of gold and of predictions, each (classes, draws)."""
    gold, predicted = columns["gold"], columns["predicted"]
    labels, codes = np.unique(np.concatenate([gold[:, None], predicted], axis=1), return_inverse=True)
    codes = codes.reshape(len(gold), -1)

    def weight_of(classes: Values, chosen: Values) -> Values:
        rows = np.arange(len(classes))[chosen]
        indicator = sparse.csr_matrix((np.ones(len(rows)), (classes[chosen], rows)), shape=(len(labels), len(classes)))
        product: Values = indicator @ weights.T
        return product

    everything = np.ones(len(gold), dtype=bool)
    truth = weight_of(codes[:, 0], everything)
    return [(weight_of(c, c == codes[:, 0]), truth, weight_of(c, everything)) for c in codes.T[1:]]


def _correlation(left: Values, right: Values, weights: Weights) -> Draws:
    """Weighted Pearson correlation of rows: `left` and `right` (1 or draws, examples)."""
    total = weights.sum(axis=1, keepdims=True)
    scale = np.abs(left).max(axis=1) * np.abs(right).max(axis=1) * total[:, 0]
    left = left - (weights * left).sum(axis=1, keepdims=True) / total
    right = right - (weights * right).sum(axis=1, keepdims=True) / total
    weighted = weights * left
    covariance = (weighted * right).sum(axis=1)
    spread = np.sqrt((weighted * left).sum(axis=1) * (weights * right * right).sum(axis=1))
    # what rounding leaves of a constant is no spread
    return _divide(covariance, np.where(spread > 1e-10 * scale, spread, 0))


def _ranks(values: Values, weights: Weights) -> Values:
    """Mid-ranks of `values (examples,)` in each draw: (draws, examples)."""
    order, starts = _tied_blocks(values)
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    middle = np.cumsum(counts, axis=1) - (counts - 1) / 2
    block = np.empty(len(values), dtype=np.intp)
    block[order] = np.repeat(np.arange(len(starts)), np.diff([*starts, len(values)]))
    ranks: Values = middle[:, block]
    return ranks


def _tied_blocks(values: Values) -> tuple[Values, Values]:
    """Ascending order of `values`, and where each block of equal ones starts in it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    return order, np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))


def _best(columns: Columns, weights: Weights, score: Callable[[Values, Values], Draws]) -> Draws:
    """Best of `score(hits, seen)`, sums from the top down to each threshold, (draws, thresholds), over the scores."""
    positive = weights * (columns["gold"] == 1)
    orders: dict[bytes, tuple[Values, Values]] = {}
    for side in columns["scores"].T:
        order, starts = _tied_blocks(-side)
        # dot product and cosine of unit vectors give one order: evaluated once
        orders.setdefault(order.tobytes() + starts.tobytes(), (order, starts))
    found = []
    for order, starts in orders.values():
        hits = np.cumsum(np.add.reduceat(positive[:, order], starts, axis=1), axis=1)
        seen = np.cumsum(np.add.reduceat(weights[:, order], starts, axis=1), axis=1)
        found.append(score(hits, seen))
    best: Draws = np.max(found, axis=0)
    return best


def _average_precision(hits: Values, seen: Values) -> Draws:
    found = np.diff(hits, axis=1, prepend=0)
    return _divide((found * _divide(hits, seen, empty=0.0)).sum(axis=1), hits[:, -1])


def _threshold_f1(hits: Values, seen: Values) -> Draws:
    score = _divide(2 * hits, seen + hits[:, -1:], empty=0.0)
    best: Draws = np.where(_below_all(seen), score, 0.0).max(axis=1)
    return best


def _threshold_accuracy(hits: Values, seen: Values) -> Draws:
    total, positive = seen[:, -1:], hits[:, -1:]
    right = hits + (total - positive) - (seen - hits)
    best: Draws = np.where(_below_all(seen), right / total, 0.0).max(axis=1)
    return best


def _below_all(seen: Values) -> Values:
    """Thresholds that leave something out: the only ones that mteb tries."""
    below: Values = seen < seen[:, -1:]
    return below
