"""Records to one table: a row a model revision, a column a task, a suite mean or a fact about the model."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean
from typing import Literal

from bench.records import ModelInfo, Record, TaskInfo
from leaderboard import facts
from leaderboard.cells import Cell, Column
from leaderboard.load import Refusal, Results

# A lexical index ranks documents for a query and gives no vectors, so that nothing else can be asked of it.
LEXICAL_TASK_TYPES = frozenset({"Retrieval", "Reranking"})
LANGUAGE_MODEL_SUITE = "lm"


@dataclass(frozen=True)
class Row:
    """One revision of one model.

    Args:
        model: as its latest record describes it.
        label: its name, with the short revision where the name alone is not unique.
        page: stem of its page's file name; unique, and safe on every file system.
        records: its records, by task.
        cells: one for each column of the board.
    """

    model: ModelInfo
    label: str
    page: str
    records: tuple[Record, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Board:
    """The whole leaderboard, best row first."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    refused: tuple[Refusal, ...]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Neighbouring columns of one group: its title and how many they are."""
        counts: dict[str, int] = {}
        for column in self.columns:
            counts[column.group] = counts.get(column.group, 0) + 1
        return list(counts.items())

    @property
    def num_tasks(self) -> int:
        """Number of task columns."""
        return sum(column.task is not None for column in self.columns)


def aggregate(results: Results) -> Board:
    """Build the board. The order of the records does not matter.

    Suites come in the order of how many scores they hold, tasks by name; rows by the first column, best first.
    """
    suites = _suites(record.task for record in results.records)
    models: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in sorted(results.records, key=lambda r: (r.model.name, r.model.revision, r.task.name)):
        models[record.model.name, record.model.revision].append(record)
    names = Counter(name for name, _ in models)
    columns = [column for suite in suites for column in _suite_columns(suite)] + list(facts.COLUMNS)
    rows = []
    for (name, revision), records in models.items():
        model = max(records, key=lambda r: (datetime.fromisoformat(r.evaluation.started), r.task.name)).model
        label = name if names[name] == 1 else f"{name} @ {revision[:8]}"
        scores = {record.task: record.scores.main for record in records}
        cells = [cell for suite in suites for cell in _suite_cells(model, suite, scores)]
        cells += facts.cells(model, records)
        rows.append(Row(model, label, _page(name, revision), tuple(records), tuple(cells)))
    rows = _mark_best(columns, rows)
    rows.sort(key=lambda row: (_rank(columns[0], row.cells[0]), row.model.name, row.model.revision))
    return Board(tuple(columns), tuple(rows), results.refused)


def has_mean(tasks: Sequence[TaskInfo]) -> bool:
    """Whether a mean over `tasks` means something: several scores on the same 0 to 1 scale, never losses."""
    return len(tasks) > 1 and all(task.higher_is_better for task in tasks)


def inapplicable(model: ModelInfo, task: TaskInfo) -> str:
    """Why `model` can have no score on `task`, or nothing where it could."""
    if model.kind == "lexical" and task.type not in LEXICAL_TASK_TYPES:
        return "a lexical index ranks documents and has no vectors"
    if task.suite == LANGUAGE_MODEL_SUITE and (model.axes is None or model.axes.head is None):
        return "a model without an output head predicts no tokens"
    return ""


def _suites(tasks: Iterable[TaskInfo]) -> list[list[TaskInfo]]:
    """Tasks by suite. Tasks that differ in anything, such as the revision of their data, are never one column."""
    scores = Counter(tasks)
    sizes: Counter[str] = Counter()
    for task, count in scores.items():
        sizes[task.suite] += count
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    return [sorted((t for t in scores if t.suite == name), key=_task_order) for name in names]


def _task_order(task: TaskInfo) -> tuple[str, ...]:
    return (task.name, task.metric, task.dataset, task.revision, task.split, task.subset, task.type, repr(task))


def _suite_columns(tasks: Sequence[TaskInfo]) -> list[Column]:
    suite = tasks[0].suite
    names = Counter(task.name for task in tasks)
    columns = []
    if has_mean(tasks):
        about = f"mean main score of the {len(tasks)} tasks of {suite}; only for models that have them all"
        columns.append(Column(f"{suite}/mean", "Mean", suite, f"of {len(tasks)} tasks", about, "score", "higher"))
    for number, task in enumerate(tasks, 1):
        title = task.name if names[task.name] == 1 else f"{task.name} ({task.split}, {task.revision[:8]}, no. {number})"
        about = f"{task.type} on {task.dataset}, {task.split}, revision {task.revision[:12]}"
        better: Literal["higher", "lower"] = "higher" if task.higher_is_better else "lower"
        columns.append(
            Column(f"{suite}/{title} [{task.metric}]", title, suite, task.metric, about, "score", better, task)
        )
    return columns


def _suite_cells(model: ModelInfo, tasks: Sequence[TaskInfo], scores: dict[TaskInfo, float]) -> list[Cell]:
    cells = [_score_cell(model, task, scores) for task in tasks]
    if not has_mean(tasks):
        return cells
    values = [cell.value for cell in cells if isinstance(cell.value, float)]
    if len(values) == len(tasks):
        return [Cell(fmean(values)), *cells]
    missing = ", ".join(task.name for task in tasks if task not in scores)
    return [Cell(None, f"no mean: {len(values)} of {len(tasks)} tasks scored, without {missing}"), *cells]


def _score_cell(model: ModelInfo, task: TaskInfo, scores: dict[TaskInfo, float]) -> Cell:
    if task in scores:
        return Cell(float(scores[task]))
    reason = inapplicable(model, task)
    return Cell(None, f"not applicable: {reason}", applicable=False) if reason else Cell(None, "not scored")


def _mark_best(columns: Sequence[Column], rows: Sequence[Row]) -> list[Row]:
    """Mark every best value of each score column that has at least two to compare."""
    cells = [list(row.cells) for row in rows]
    for j, column in enumerate(columns):
        ranks = [_rank(column, row.cells[j]) for row in rows]
        if column.better is None or sum(rank < (1, 0.0) for rank in ranks) < 2:
            continue
        for row, rank in zip(cells, ranks, strict=True):
            if rank == min(ranks):
                row[j] = replace(row[j], best=True)
    return [replace(row, cells=tuple(marked)) for row, marked in zip(rows, cells, strict=True)]


def _rank(column: Column, cell: Cell) -> tuple[int, float]:
    """Sorts best first and missing last."""
    if not isinstance(cell.value, int | float):
        return (1, 0.0)
    return (0, -cell.value if column.better == "higher" else cell.value)


def _page(name: str, revision: str) -> str:
    # The digest keeps apart what the readable part, or a file system that ignores case, would mix up.
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "model"
    digest = hashlib.sha256(f"{revision} {name}".encode()).hexdigest()
    return f"{slug}-{digest[:12]}"
