"""Timing two or more things in turn, so that a drift of the machine hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# Seconds. The first call after another contestant finds the caches full of that one's tables, which no training does.
_SHORTEST = 0.2


@dataclass(frozen=True)
class Timing:
    """Seconds of a call of one contestant, in each round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.seconds)


def time_in_turn(contestants: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, Timing]:
    """Run each contestant in each round, after one warm-up round; the mean of as many calls as fill 0.2 s.

    Args:
        contestants: what to run, by name; each call is one round's work.
        rounds: counted rounds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    calls = {name: _calls(run) for name, run in contestants.items()}
    for _ in range(rounds):
        for name, run in contestants.items():
            seconds[name].append(_time(run, calls[name]) / calls[name])
    return {name: Timing(tuple(times)) for name, times in seconds.items()}


def _calls(run: Callable[[], None]) -> int:
    """How many calls fill the shortest time that says something; the first call warms up."""
    if _time(run, 1) > 5 * _SHORTEST:
        return 1  # a second call would only cost
    return max(1, round(_SHORTEST / max(_time(run, 1), 1e-6)))


def _time(run: Callable[[], None], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - start


def ratios(ours: Timing, other: Timing) -> tuple[float, float, float]:
    """Minimum, median and maximum over rounds of `other / ours`: above 1 we are faster."""
    found = sorted(theirs / own for own, theirs in zip(ours.seconds, other.seconds, strict=True))
    return found[0], statistics.median(found), found[-1]
