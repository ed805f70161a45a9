"""Timing two or more things in turn, so that a drift of the machine hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Seconds of each round of one contestant."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.seconds)


def time_in_turn(contestants: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, Timing]:
    """Run each contestant once a round after one warm-up round.

    Args:
        contestants: what to run, by name; each call is one round's work.
        rounds: counted rounds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for name in contestants:
        contestants[name]()
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(times)) for name, times in seconds.items()}


def ratios(ours: Timing, other: Timing) -> tuple[float, float, float]:
    """Minimum, median and maximum over rounds of `other / ours`: above 1 we are faster."""
    found = sorted(theirs / own for own, theirs in zip(ours.seconds, other.seconds, strict=True))
    return found[0], statistics.median(found), found[-1]
