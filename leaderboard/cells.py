"""What a table of the leaderboard is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.records import TaskInfo

Form = Literal["score", "count", "bytes", "seconds", "text"]


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        key: its name in the downloads, unique.
        title: its heading.
        group: the suite, or the kind of fact, that it stands under.
        unit: what the numbers are, such as the name of a metric; may be empty.
        about: one line for people.
        form: how values are written.
        better: which way is good, None where that is not a question.
        task: what it scores, None for means and facts.
    """

    key: str
    title: str
    group: str
    unit: str
    about: str
    form: Form
    better: Literal["higher", "lower"] | None = None
    task: TaskInfo | None = None


@dataclass(frozen=True)
class Cell:
    """One value of a column.

    Args:
        value: None where there is none; a missing score is never 0.
        note: why there is no value.
        applicable: false where there could not be one.
        best: whether no other row is better.
    """

    value: float | str | None
    note: str = ""
    applicable: bool = True
    best: bool = False
