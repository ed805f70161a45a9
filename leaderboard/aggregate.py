"""Records to one table: a row a model, its seeds together; a column a task, a suite mean or a fact about the model."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import Literal

from bench.fairness import by_seed
from bench.records import ModelInfo, Record, TaskInfo
from leaderboard import facts, significance
from leaderboard.cells import Cell, Column
from leaderboard.load import Refusal, Results

# A lexical index ranks documents for a query and gives no vectors, so that nothing else can be asked of it.
LEXICAL_TASK_TYPES = frozenset({"Retrieval", "Reranking"})
LANGUAGE_MODEL_SUITE = "lm"
VOCABULARY_SUITES = frozenset({"geometry", "words"})
RANK = "Rank"


@dataclass(frozen=True)
class Row:
    """One model: a revision, or several that differ in nothing but the seed.

    Args:
        model: as its latest record describes it.
        label: its name, with the short revision where the name alone is not unique.
        page: stem of its page's file name; unique, and safe on every file system.
        records: its records, by task.
        cells: one for each column of the board.
        seeds: the revisions, each a row with a page of its own; empty for a single one.
    """

    model: ModelInfo
    label: str
    page: str
    records: tuple[Record, ...]
    cells: tuple[Cell, ...]
    seeds: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Board:
    """The whole leaderboard, best row first."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    refused: tuple[Refusal, ...]

    @property
    def pages(self) -> list[Row]:
        """Every revision, in the order of the rows."""
        return [page for row in self.rows for page in (row.seeds or (row,))]

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
    single = []
    for (name, revision), records in models.items():
        model = max(records, key=lambda r: (datetime.fromisoformat(r.evaluation.started), r.task.name)).model
        label = name if names[name] == 1 else f"{name} @ {revision[:8]}"
        cells = [cell for suite in suites for cell in _suite_cells(model, suite, [records])]
        cells += facts.cells(model, records)
        single.append(Row(model, label, _page(name, revision), tuple(records), tuple(cells)))
    rows = _with_ranks(columns, _together(single, suites), suites, results.root)
    columns, rows = _without_empty_ranks(columns, rows)
    rows = _mark_best(columns, rows)
    first = next((j for j, column in enumerate(columns) if column.form == "score"), 0)
    rows.sort(key=lambda row: (_rank(columns[first], row.cells[first]), row.model.name, row.model.revision))
    return Board(tuple(columns), tuple(rows), results.refused)


def _together(single: Sequence[Row], suites: Sequence[Sequence[TaskInfo]]) -> list[Row]:
    """Rows of one model with several seeds as one row, the others as they are."""
    rows = []
    for numbers in by_seed([row.model for row in single]):
        seeds = [single[number] for number in numbers]
        if len(seeds) == 1:
            rows += seeds
            continue
        records = [list(seed.records) for seed in seeds]
        everything = [record for run in records for record in run]
        cells = [cell for suite in suites for cell in _suite_cells(seeds[0].model, suite, records)]
        cells += facts.cells(seeds[0].model, everything)
        label = f"{seeds[0].model.name} ({len(seeds)} seeds)"
        rows.append(Row(seeds[0].model, label, seeds[0].page, tuple(everything), tuple(cells), tuple(seeds)))
    return rows


def _with_ranks(
    columns: Sequence[Column], rows: Sequence[Row], suites: Sequence[Sequence[TaskInfo]], root: Path | None
) -> list[Row]:
    """Ranks of the scores of each task, and of the mean of each suite."""
    places = {column.task or column.key: j for j, column in enumerate(columns)}
    cells = [list(row.cells) for row in rows]
    for tasks in suites:
        tested = []
        for task in tasks:
            runs = {i: [r for r in row.records if r.task == task] for i, row in enumerate(rows)}
            complete = {i: found for i, found in runs.items() if len(found) == max(1, len(rows[i].seeds))}
            tested.append(significance.pairs_on(complete, root))
            for i, rank in significance.ranks_on(task, tested[-1]).items():
                cells[i][places[task]] = replace(cells[i][places[task]], rank=rank)
        if has_mean(tasks):
            for i, rank in significance.ranks_over(tested).items():
                cells[i][places[f"{tasks[0].suite}/rank"]] = Cell(rank)
                mean = places[f"{tasks[0].suite}/mean"]
                cells[i][mean] = replace(cells[i][mean], rank=rank)
    return [replace(row, cells=tuple(found)) for row, found in zip(rows, cells, strict=True)]


def _without_empty_ranks(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[list[Column], list[Row]]:
    """Leave out the ranks of suites where no two models could be tested."""
    kept = [
        j
        for j, column in enumerate(columns)
        if column.title != RANK or any(row.cells[j].value is not None for row in rows)
    ]

    def trimmed(row: Row) -> Row:
        seeds = tuple(trimmed(seed) for seed in row.seeds)
        return replace(row, cells=tuple(row.cells[j] for j in kept), seeds=seeds)

    return [columns[j] for j in kept], [trimmed(row) for row in rows]


def has_mean(tasks: Sequence[TaskInfo]) -> bool:
    """Whether a mean over `tasks` means something: several scores on the same 0 to 1 scale, never losses."""
    return len(tasks) > 1 and all(task.higher_is_better for task in tasks)


def inapplicable(model: ModelInfo, task: TaskInfo) -> str:
    """Why `model` can have no score on `task`, or nothing where it could."""
    if model.kind == "lexical" and task.type not in LEXICAL_TASK_TYPES:
        return "a lexical index ranks documents and has no vectors"
    headless = model.axes is None or model.axes.head is None
    if headless and task.suite == LANGUAGE_MODEL_SUITE:
        return "a model without an output head predicts no tokens"
    if headless and task.suite in VOCABULARY_SUITES and task.subset == "output":
        return "a model without an output head has no output table"
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
        ranks = "1 + the number of models with a significantly higher mean (paired tests, Holm, 5 %)"
        columns.append(Column(f"{suite}/rank", RANK, suite, "", ranks, "count", "lower"))
        columns.append(Column(f"{suite}/mean", "Mean", suite, f"of {len(tasks)} tasks", about, "score", "higher"))
    for number, task in enumerate(tasks, 1):
        title = task.name if names[task.name] == 1 else f"{task.name} ({_difference(task, tasks)}, no. {number})"
        about = f"{task.type} on {task.dataset}, {task.split}, revision {task.revision[:12]}"
        better: Literal["higher", "lower"] = "higher" if task.higher_is_better else "lower"
        columns.append(
            Column(
                key=f"{suite}/{title} [{task.metric}]",
                title=title,
                group=suite,
                unit=task.metric,
                about=about,
                form="score",
                better=better,
                task=task,
                page=_page(task.name, repr(task)),
                mark=f"not the official data: {task.check.note}"
                if task.check and task.check.status == "deviates"
                else "",
            )
        )
    return columns


def _mark(task: TaskInfo) -> str:
    return f"not the official data: {task.check.note}" if task.check and task.check.status == "deviates" else ""


def _difference(task: TaskInfo, tasks: Sequence[TaskInfo]) -> str:
    """What tells `task` from the others of its name, such as the machine that a speed was measured on."""
    others = [other for other in tasks if other.name == task.name]
    parts = {"subset": task.subset, "split": task.split, "revision": task.revision[:8], "scoring": task.scoring}
    told = [text for part, text in parts.items() if len({getattr(other, part) for other in others}) > 1]
    return ", ".join(told) or "other rows"


def _suite_cells(model: ModelInfo, tasks: Sequence[TaskInfo], runs: Sequence[Sequence[Record]]) -> list[Cell]:
    """Cells of one model on one suite; `runs` are the records of each of its seeds."""
    scores = [{record.task: record for record in records} for records in runs]
    cells = [_score_cell(model, task, [found[task] for found in scores if task in found], len(runs)) for task in tasks]
    if not has_mean(tasks):
        return cells
    values = [cell.value for cell in cells if isinstance(cell.value, float)]
    if len(values) == len(tasks):
        return [Cell(None, "no values of single examples to test with"), Cell(fmean(values)), *cells]
    missing = ", ".join(task.name for task, cell in zip(tasks, cells, strict=True) if cell.value is None)
    none = f"no mean: {len(values)} of {len(tasks)} tasks scored, without {missing}"
    return [Cell(None, none), Cell(None, none), *cells]


def _score_cell(model: ModelInfo, task: TaskInfo, records: Sequence[Record], seeds: int) -> Cell:
    if not records:
        reason = inapplicable(model, task)
        return Cell(None, f"not applicable: {reason}", applicable=False) if reason else Cell(None, "not scored")
    scores = [float(record.scores.main) for record in records]
    if seeds == 1:
        return Cell(scores[0], interval=records[0].scores.interval)
    if len(scores) < seeds:
        return Cell(None, f"no mean: {len(scores)} of {seeds} seeds scored")
    return Cell(fmean(scores), f"mean of {seeds} seeds, standard deviation {stdev(scores):.2g}")


def _mark_best(columns: Sequence[Column], rows: Sequence[Row]) -> list[Row]:
    """Mark what no other value of a score column beats, as far as tests can tell, where there are two to compare."""
    cells = [list(row.cells) for row in rows]
    for j, column in enumerate(columns):
        ranks = [_rank(column, row.cells[j]) for row in rows]
        if column.better is None or column.form != "score" or sum(rank < (1, 0.0) for rank in ranks) < 2:
            continue
        best = min(ranks)
        # the best value itself need not have rank 1 alone: all that cannot be told from it are marked with it
        shared = any(row[j].rank == 1 for row, rank in zip(cells, ranks, strict=True) if rank == best)
        for row, rank in zip(cells, ranks, strict=True):
            if rank == best or (shared and row[j].rank == 1):
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
