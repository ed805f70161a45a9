"""Intervals of scores, from the values of single examples."""

from __future__ import annotations

from dataclasses import replace

from bench.examples import Examples
from bench.records import Scores
from bench.statistics.intervals import interval

NAME = "interval"


def with_interval(scores: Scores, examples: Examples | str) -> Scores:
    """`scores` with the interval of the main score, or with the reason why there is none.

    Args:
        scores: of a task.
        examples: the values of single examples, or why there are none.
    """
    if isinstance(examples, str):
        return replace(scores, absent={**scores.absent, NAME: examples})
    try:
        found = interval(examples)
    except ValueError as reason:
        return replace(scores, absent={**scores.absent, NAME: str(reason)})
    # rounding may put a perfect score outside of its own interval
    within = replace(found, low=min(found.low, scores.main), high=max(found.high, scores.main))
    return replace(scores, interval=within)


def with_ends(scores: Scores, examples: Examples) -> Scores:
    """`scores` with the interval of another score than the main one, as the scores `NAME/low` and `NAME/high`.

    Where there is none the reason stands under `NAME/interval`.

    Args:
        scores: of a task, that one among them.
        examples: of that score.
    """
    name = examples.score
    try:
        found = interval(examples)
    except ValueError as reason:
        return replace(scores, absent={**scores.absent, f"{name}/{NAME}": str(reason)})
    value = scores.all[name]
    ends = {f"{name}/low": min(found.low, value), f"{name}/high": max(found.high, value)}
    return replace(scores, all={**scores.all, **ends})
