"""Timing that waits for the device, and how sure a median is."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from bench.records import Interval

LEVEL = 0.95


def synchronizer(device: str) -> Callable[[], None]:
    """A function that returns when `device` has finished all that was asked of it; a CPU always has."""
    chosen = torch.device(device)
    if chosen.type == "cuda":
        return lambda: torch.cuda.synchronize(chosen)
    if chosen.type == "mps":
        return torch.mps.synchronize
    return lambda: None


def seconds_of(run: Callable[[], object], synchronize: Callable[[], None]) -> float:
    """Wall time of `run` from an idle device to an idle device."""
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of `values` do not exceed (nearest rank; nothing is interpolated).

    Example:
        >>> percentile([4.0, 1.0, 3.0, 2.0], 50), percentile([4.0, 1.0, 3.0, 2.0], 95)
        (2.0, 4.0)
    """
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def median_interval(values: Sequence[float], unit: str) -> Interval:
    """Interval of a median between two order statistics, which holds for values of any distribution.

    `P(x_(k) <= median <= x_(n + 1 - k)) = 1 - 2 P(Binomial(n, 1/2) < k)` for independent values; the largest k that
    keeps 95 % is taken. With fewer than six values nothing does: the whole range is given, with the level that it has.

    Args:
        values: at least one.
        unit: what one value is.

    Example:
        >>> found = median_interval([5.0, 1.0, 4.0, 2.0, 3.0, 6.0, 7.0], "round")
        >>> found.low, found.high, found.level
        (1.0, 7.0, 0.984375)
    """
    ordered, n = sorted(values), len(values)
    k, below = 1, 1  # `below` counts the ways to get fewer than k heads of n
    while 1 - 2 * (below + math.comb(n, k)) / 2**n >= LEVEL:
        below += math.comb(n, k)
        k += 1
    level = max(0.0, 1 - 2 * below / 2**n)
    return Interval(
        low=ordered[k - 1],
        high=ordered[n - k],
        level=level,
        method="order statistics of the median",
        unit=unit,
        count=n,
    )


def median(values: Sequence[float]) -> float:
    """Median; the mean of the two middle values where their number is even."""
    return statistics.median(values)
