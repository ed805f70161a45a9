"""Tests between models on the same examples.

The standard error of a difference is that of its bootstrap, with the same resamples for both models, so that what is
hard for both cancels out; p is Student's. A few examples on which the models differ prove little whatever their size:
among n of them the smallest p of the sign-flip permutation test, 2^(1-n), is a floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.examples import Examples
from bench.statistics import resampling
from bench.statistics.intervals import degrees_of_freedom, margin, p_value, seed_variance, standard_error

UNKNOWN_SEEDS = "the spread of seeds is unknown: one seed"


@dataclass(frozen=True)
class Comparison:
    """Difference of the scores of two models.

    Args:
        difference: first minus second.
        low: lower bound of its interval.
        high: upper bound.
        level: of the interval.
        p: two-sided, before any correction for many tests.
        count: examples.
        seeds: of the first and the second model.
        note: what the numbers leave out; may be empty.
    """

    difference: float
    low: float
    high: float
    level: float
    p: float
    count: int
    seeds: tuple[int, int]
    note: str


def paired(
    first: Examples | Sequence[Examples], second: Examples | Sequence[Examples], level: float = 0.95
) -> Comparison:
    """Compare two models, each given as one run or as one run a seed.

    Raises:
        ValueError: if the examples are not the same, or a score is undefined.
    """
    return all_pairs([_runs(first), _runs(second)], level)[0, 1]


def all_pairs(models: Sequence[Sequence[Examples]], level: float = 0.95) -> dict[tuple[int, int], Comparison]:
    """Every pair of models `(i, j)` with i < j, each model given by its runs; resamples are drawn once for all.

    Raises:
        ValueError: if the examples are not the same, or a score is undefined.
    """
    runs = [run for model in models for run in model]
    for run in runs[1:]:
        runs[0].check_pair(run)
    scores = [np.array([run.statistic() for run in model]) for model in models]
    if not all(np.isfinite(score).all() for score in scores):
        raise ValueError(f"{runs[0].score} is undefined: all values of one side are equal")
    ends = np.cumsum([len(model) for model in models])[:-1]
    draws = [part.mean(axis=0) for part in np.split(resampling.draws(runs), ends)]
    return {
        (i, j): _compare(models[i], models[j], (scores[i], scores[j]), draws[i] - draws[j], level)
        for i in range(len(models))
        for j in range(i + 1, len(models))
    }


def _compare(
    first: Sequence[Examples],
    second: Sequence[Examples],
    scores: tuple[NDArray[np.float64], NDArray[np.float64]],
    draws: NDArray[np.float64],
    level: float,
) -> Comparison:
    sample = first[0]
    difference = float(scores[0].mean() - scores[1].mean())
    seeds = len(first), len(second)
    if degrees_of_freedom(sample) < 1:
        raise ValueError(f"one {sample.unit} says nothing about others")
    of_examples = standard_error(sample, draws) ** 2, degrees_of_freedom(sample)
    parts = [of_examples, *(seed_variance(score) for score in scores)]
    half = margin(parts, level)
    p = max(p_value(parts, difference), 2.0 ** (1 - num_different(first, second)))
    return Comparison(
        difference=difference,
        low=difference - half,
        high=difference + half,
        level=level,
        p=min(p, 1.0),
        count=sample.count,
        seeds=seeds,
        note=UNKNOWN_SEEDS if 1 in seeds else "",
    )


def num_different(first: Sequence[Examples], second: Sequence[Examples]) -> int:
    """Number of examples that two models do not treat the same; more than 60 are not counted on."""
    found = 0
    for g, group in enumerate(first[0].groups):
        for name in group.columns:
            sides = [np.mean([run.groups[g].columns[name] for run in runs], axis=0) for runs in (first, second)]
            differ = sides[0] != sides[1]
            found = max(found, int(differ.reshape(len(differ), -1).any(axis=1).sum()))
    return min(found, 60)


def _runs(examples: Examples | Sequence[Examples]) -> list[Examples]:
    return [examples] if isinstance(examples, Examples) else list(examples)
