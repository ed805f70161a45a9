"""What a table of the leaderboard is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.records import Interval, TaskInfo

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
        page: stem of the file name of its task's page; may be empty.
        mark: what is wrong with its data; may be empty.
    """

    key: str
    title: str
    group: str
    unit: str
    about: str
    form: Form
    better: Literal["higher", "lower"] | None = None
    task: TaskInfo | None = None
    page: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Cell:
    """One value of a column.

    Args:
        value: None where there is none; a missing score is never 0.
        note: why there is no value, or what more there is to say of it.
        applicable: false where there could not be one.
        best: whether no other row is better, as far as can be told.
        interval: of the value.
        rank: 1 + the number of rows that are significantly better, None where that was not tested.
    """

    value: float | str | None
    note: str = ""
    applicable: bool = True
    best: bool = False
    interval: Interval | None = None
    rank: int | None = None
