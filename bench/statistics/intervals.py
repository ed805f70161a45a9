"""Confidence intervals of main scores.

Chosen by simulation of nominal 95 % intervals, 1,000 samples each of 50, 100 and 300 examples:

    coverage in %                    percentile   basic     Student t   BCa, widened   Wilson
    skewed values like nDCG          93 to 96     91 to 95  94 to 96    94 to 96
    accuracy 0.6                     94 to 95     94        96          94 to 96       94 to 95
    accuracy 0.9 and 0.95            88 to 95     70 to 94  87 to 94    90 to 96       93 to 97
    accuracy 0.9 of 10 experiments   91 to 93     89 to 93  92 to 93    94 to 95

Hence, where they apply:

- Wilson's score interval for the share of right answers of one experiment in one group;
- Student's t where the values are few scores on resamples, and over seeds;
- the delete-block jackknife with Student's t for more than 2,000 examples, which costs a tenth;
- else the bias-corrected and accelerated bootstrap (B. Efron, Better Bootstrap Confidence Intervals, JASA 82, 1987),
  its level widened for small samples (T. Hesterberg, What Teachers Should Know About the Bootstrap, 2015, section 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from bench.examples import Examples
from bench.records import Interval
from bench.statistics import resampling
from bench.statistics.resampling import RESAMPLES, influence, is_large

# Resamples in which a score is undefined (a correlation with a constant, say) are left out, up to this share.
MAX_UNDEFINED = 0.05


def interval(examples: Examples | Sequence[Examples], level: float = 0.95) -> Interval:
    """Where the score would lie on other examples of the same kind: the same examples give the same interval.

    Args:
        examples: of one model; of several seeds of it, one each, the interval is that of their mean, on other examples
            and other seeds.
        level: of confidence, between 0 and 1.

    Raises:
        ValueError: with the reason why there is none.
    """
    runs = [examples] if isinstance(examples, Examples) else list(examples)
    first, scores = runs[0], np.array([run.statistic() for run in runs])
    for run in runs[1:]:
        first.check_pair(run)
    if not np.isfinite(scores).all():
        raise ValueError(f"{first.score} is undefined: all values of one side are equal")
    if degrees_of_freedom(first) < 1:
        raise ValueError(f"one {first.unit} says nothing about others")
    if len(runs) > 1:
        low, high, method = _over_seeds(runs, scores, level)
    elif (binary := _single_binary(first)) is not None:
        low, high = wilson(float(binary.mean()), len(binary), level)
        method = "Wilson"
    else:
        low, high, method = _bootstrap(first, level)
    return Interval(low=float(low), high=float(high), level=level, method=method, unit=first.unit, count=first.count)


def wilson(share: float, count: int, level: float) -> tuple[float, float]:
    """Wilson's score interval of a share.

    >>> [round(bound, 3) for bound in wilson(0.9, 50, 0.95)]
    [0.786, 0.957]
    """
    z = float(stats.norm.ppf((1 + level) / 2))
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def degrees_of_freedom(examples: Examples) -> int:
    """Examples that are free once the mean of each group is known."""
    return examples.count - len(examples.groups)


def standard_error(examples: Examples, draws: NDArray[np.float64]) -> float:
    """Spread of `draws`, such as differences of replicates, corrected for the size of the sample.

    Raises:
        ValueError: if too many draws are undefined.
    """
    return float(defined(draws, examples.score).std() * math.sqrt(examples.count / degrees_of_freedom(examples)))


def defined(draws: NDArray[np.float64], score: str) -> NDArray[np.float64]:
    """The draws that are numbers.

    Raises:
        ValueError: if too many are not.
    """
    found = draws[np.isfinite(draws)]
    if len(found) < (1 - MAX_UNDEFINED) * len(draws):
        share = 1 - len(found) / len(draws)
        raise ValueError(f"{score} is undefined in {share:.0%} of the resamples: too few different values")
    return found


def _bootstrap(examples: Examples, level: float) -> tuple[float, float, str]:
    draws, centre = resampling.draws([examples])[0], examples.statistic()
    size = degrees_of_freedom(examples)
    if examples.statistic_name == "resampled" or is_large(examples):
        half = stats.t.ppf((1 + level) / 2, size) * standard_error(examples, draws)
        return (
            centre - half,
            centre + half,
            "jackknife" if is_large(examples) else "Student t over resamples of the data",
        )
    draws = defined(draws, examples.score)
    tail = stats.norm.cdf(math.sqrt(examples.count / size) * stats.t.ppf((1 - level) / 2, size))
    low, high = np.quantile(draws, _corrected(np.array([tail, 1 - tail]), draws, centre, examples))
    return low, high, f"bootstrap, BCa, {RESAMPLES} resamples"


def _corrected(
    levels: NDArray[np.float64], draws: NDArray[np.float64], centre: float, examples: Examples
) -> NDArray[np.float64]:
    """Quantile levels after the corrections for bias and for a spread that changes with the score."""
    below = (np.mean(draws < centre - 1e-12) + np.mean(draws <= centre + 1e-12)) / 2
    if not 0 < below < 1:
        return levels
    bias = stats.norm.ppf(below)
    shifted = bias + stats.norm.ppf(levels)
    corrected: NDArray[np.float64] = stats.norm.cdf(bias + shifted / (1 - _acceleration(examples) * shifted))
    return corrected


def _acceleration(examples: Examples) -> float:
    effects = influence(examples)
    if not all(np.isfinite(effect).all() for effect in effects):
        return 0.0
    cubes = sum(float((effect**3).sum()) / len(effect) ** 3 for effect in effects)
    squares = sum(float((effect**2).sum()) / len(effect) ** 2 for effect in effects)
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0


def _single_binary(examples: Examples) -> NDArray[np.bool_] | None:
    """Right or wrong by example, where the score is nothing but that."""
    if len(examples.groups) > 1:
        return None
    columns = examples.groups[0].columns
    if examples.statistic_name == "accuracy" and columns["predicted"].shape[1] == 1:
        right: NDArray[np.bool_] = columns["predicted"][:, 0] == columns["gold"]
        return right
    if examples.statistic_name == "mean" and np.isin(columns["values"], (0, 1)).all():
        yes: NDArray[np.bool_] = columns["values"] == 1
        return yes
    return None


def _over_seeds(runs: Sequence[Examples], scores: NDArray[np.float64], level: float) -> tuple[float, float, str]:
    """Two levels, examples and seeds, each with its own variance and degrees of freedom."""
    of_examples = standard_error(runs[0], resampling.draws(runs).mean(axis=0)) ** 2
    half = margin([(of_examples, degrees_of_freedom(runs[0])), seed_variance(scores)], level)
    return scores.mean() - half, scores.mean() + half, f"Student t over {len(runs)} seeds, resampled examples"


def seed_variance(scores: NDArray[np.float64]) -> tuple[float, int]:
    """Squared standard error of a mean over seeds, and its degrees of freedom; one seed says nothing: (0, 0)."""
    if len(scores) < 2:
        return 0.0, 0
    return float(scores.var(ddof=1) / len(scores)), len(scores) - 1


def margin(parts: Sequence[tuple[float, int]], level: float) -> float:
    """Half an interval of a sum of independent parts (variance, degrees of freedom): the root of the squared halves.

    Few seeds have few degrees of freedom, whatever the number of examples. One common number for both (Satterthwaite)
    covers 91 % where the spread of three seeds is the larger part; this covers 95 % and more.

    >>> round(margin([(4.0, 10), (0.0, 0)], 0.95), 3)
    4.456
    """
    return math.sqrt(sum(v * float(stats.t.ppf((1 + level) / 2, freedom)) ** 2 for v, freedom in parts if v > 0))


def p_value(parts: Sequence[tuple[float, int]], difference: float) -> float:
    """Two-sided p of a difference: 1 - the level whose margin is as large; 1 where nothing has any spread.

    >>> round(p_value([(4.0, 10), (0.0, 0)], 4.456), 3)
    0.05
    """
    varying = [part for part in parts if part[0] > 0]
    if not varying or difference == 0:
        return 1.0
    if len(varying) == 1:
        variance, freedom = varying[0]
        return 2 * float(stats.t.sf(abs(difference) / math.sqrt(variance), freedom))
    smallest = 1e-12
    if margin(varying, 1 - smallest) <= abs(difference):
        return smallest
    found: float = optimize.brentq(lambda p: margin(varying, 1 - p) - abs(difference), smallest, 1.0, xtol=1e-13)
    return found
