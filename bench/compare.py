"""Fair comparisons of scored models: of two, or of all that differ in one choice alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from bench.fairness import AXES, axes_of, by_seed, conditions, differing, model_differences, task_differences, within
from bench.records import ModelInfo, Record, TaskInfo, load_all
from bench.sidecar import read_examples
from bench.statistics.multiple import holm, ranks
from bench.statistics.paired import Comparison, all_pairs

ALPHA = 0.05


@dataclass(frozen=True)
class Run:
    """One revision of one model, with its records, the newest first."""

    model: ModelInfo
    records: tuple[Record, ...]


@dataclass(frozen=True)
class Contender:
    """A model: one run, or runs that differ in nothing but the seed."""

    label: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class TaskTable:
    """All contenders on one task.

    Args:
        task: as all of them were scored.
        scores: mean over the seeds of each.
        pairs: every pair (i, j), i < j; empty where it cannot be tested.
        p: of each pair, Holm over all pairs of all tasks.
        ranks: 1 + the number of contenders that are significantly better; empty where it cannot be tested.
        reason: why it cannot be tested.
    """

    task: TaskInfo
    scores: tuple[float, ...]
    pairs: dict[tuple[int, int], Comparison]
    p: dict[tuple[int, int], float]
    ranks: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """A fair comparison.

    Args:
        contenders: what is compared.
        tables: one a task, by name.
        axis: the choice in which they differ, empty if in none.
        allowed: differences that were let through.
        left_out: models that do not fit, each with the reason.
    """

    contenders: tuple[Contender, ...]
    tables: tuple[TaskTable, ...]
    axis: str
    allowed: tuple[str, ...]
    left_out: tuple[str, ...] = ()


class UnfairError(ValueError):
    """A comparison that would mean nothing; `lines` say what differs."""

    def __init__(self, message: str, lines: Sequence[str]) -> None:
        super().__init__(f"{message}: {'; '.join(lines)}")
        self.message = message
        self.lines = tuple(lines)


def load_runs(results_dir: str | Path) -> list[Run]:
    """Every scored model of a results folder."""
    found: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in load_all(results_dir)[0]:
        found[record.model.name, record.model.revision].append(record)
    runs = []
    for records in found.values():
        newest = sorted(records, key=lambda r: r.evaluation.started, reverse=True)
        runs.append(Run(newest[0].model, tuple(newest)))
    return runs


def compare(first: str, second: str, results_dir: str | Path, allowed: Collection[str] = ()) -> Report:
    """Compare two models.

    Args:
        first: name, `name@revision` with the first digits of a revision, or a run folder; other seeds of it are taken
            too, unless a revision is given.
        second: likewise.
        results_dir: of the records.
        allowed: flat names, or beginnings of them, that may differ.

    Raises:
        UnfairError: if they differ in more than one choice, and in what.
        ValueError: if a model is not there, or a name means several.
    """
    runs = load_runs(results_dir)
    pair = (_find(first, runs), _find(second, runs))
    if set(map(id, pair[0].runs)) & set(map(id, pair[1].runs)):
        raise ValueError(f"{first} and {second} are the same model, or seeds of one; add @REVISION to compare seeds")
    models = [contender.runs[0].model for contender in pair]
    names = [n for n in differing(*map(conditions, models)) if not within(n, allowed)]
    axis = next(iter(axes_of(names)), "") if len(axes_of(names)) <= 1 else ""
    axis = axis if axis in AXES else ""
    _refuse(pair, [*allowed, *([AXES[axis]] if axis else [])])
    return _report(pair, results_dir, axis, allowed, ())


def compare_axis(axis: str, results_dir: str | Path, allowed: Collection[str] = ()) -> Report:
    """Compare all models that differ in one choice alone: the largest such set of a results folder.

    Raises:
        UnfairError: if no two models differ in nothing else, and in what they do.
        ValueError: if there is no such axis.
    """
    if axis not in AXES:
        raise ValueError(f"--axis {axis}: no such axis; there are {', '.join(AXES)}")
    contenders = _by_seed(load_runs(results_dir))
    free = [*allowed, AXES[axis]]
    best: list[Contender] = []
    for centre in contenders:
        fitting = [c for c in contenders if c is centre or not _lines(centre, c, free)]
        if len(fitting) > len(best):
            best = fitting
    lines = [
        f"{c.label}: {_lines(best[0], c, free)[0]}"
        for c in contenders
        if best and all(c is not member for member in best)
    ]
    if len(best) < 2:
        raise UnfairError(f"no two models differ in the {axis} alone", lines or ["there are fewer than two models"])
    return _report(best, results_dir, axis, allowed, lines)


def _find(name: str, runs: Sequence[Run]) -> Contender:
    wanted, _, revision = name.rpartition("@") if "@" in name else (name, "", "")
    for candidate in (wanted, Path(wanted).name):
        found = [run for run in runs if run.model.name == candidate and run.model.revision.startswith(revision)]
        if found:
            break
    else:
        known = ", ".join(sorted({run.model.name for run in runs}))
        raise ValueError(f"{name}: no such model in the results; there are {known}")
    groups = _by_seed(found)
    if len(groups) > 1:
        revisions = ", ".join(f"{candidate}@{group.runs[0].model.revision[:8]}" for group in groups)
        raise ValueError(f"{name} means several models that differ in more than the seed: name one of {revisions}")
    if revision:
        return Contender(name, tuple(found))
    return next(group for group in _by_seed(runs) if found[0] in group.runs)


def _by_seed(runs: Sequence[Run]) -> list[Contender]:
    groups = [[runs[number] for number in group] for group in by_seed([run.model for run in runs])]
    return [Contender(group[0].model.name, tuple(group)) for group in groups]


def _lines(first: Contender, second: Contender, allowed: Collection[str]) -> list[str]:
    """All that makes a comparison unfair."""
    lines = model_differences(first.runs[0].model, second.runs[0].model, allowed)
    return lines or _evaluation_lines(first, second, allowed)


def _evaluation_lines(first: Contender, second: Contender, allowed: Collection[str]) -> list[str]:
    runs = [*first.runs, *second.runs]
    if _common_tasks(runs, allowed):
        return []
    lines = [
        line
        for mine in runs[0].records
        for other in runs[1:]
        for its in other.records
        if mine.task.name == its.task.name
        for line in task_differences(mine.task, its.task, allowed)
    ]
    return list(dict.fromkeys(lines)) or ["tasks: none was scored on both"]


def _common_tasks(runs: Sequence[Run], allowed: Collection[str]) -> list[list[Record]]:
    """Records of the same evaluation, one a run, for each task that all runs have."""
    found = []
    names = set.intersection(*({record.task.name for record in run.records} for run in runs))
    for name in sorted(names):
        for mine in (record for record in runs[0].records if record.task.name == name):
            row = [
                next(
                    (
                        r
                        for r in run.records
                        if r.task.name == name and not task_differences(mine.task, r.task, allowed)
                    ),
                    None,
                )
                for run in runs
            ]
            if all(record is not None for record in row):
                found.append([record for record in row if record is not None])
                break
    return found


def _refuse(pair: Sequence[Contender], allowed: Collection[str]) -> None:
    first, second = pair
    lines = model_differences(first.runs[0].model, second.runs[0].model, allowed)
    same = {row[0].task.name for row in _common_tasks([*first.runs, *second.runs], allowed)}
    lines += [
        line
        for mine in first.runs[0].records
        for its in second.runs[0].records
        if mine.task.name == its.task.name and mine.task.name not in same
        for line in task_differences(mine.task, its.task, allowed)
    ]
    if not lines and not same:
        lines = ["tasks: none was scored on both"]
    if lines:
        raise UnfairError(f"{first.label} and {second.label} differ in more than one choice", lines)


def _report(
    contenders: Sequence[Contender],
    results_dir: str | Path,
    axis: str,
    allowed: Collection[str],
    left_out: Sequence[str],
) -> Report:
    rows = _common_tasks([run for contender in contenders for run in contender.runs], allowed)
    tested = [(row[0].task, *_test(contenders, row, results_dir)) for row in rows]
    keys = [(number, pair) for number, (_, _, pairs, _) in enumerate(tested) for pair in pairs]
    adjusted = dict(zip(keys, holm([tested[number][2][pair].p for number, pair in keys]), strict=True))
    tables = []
    for number, (task, scores, pairs, reason) in enumerate(tested):
        p = {pair: adjusted[number, pair] for pair in pairs}
        better = {pair: (pairs[pair].difference, p[pair]) for pair in pairs}
        order = ranks(len(contenders), better, higher_is_better=task.higher_is_better, alpha=ALPHA) if pairs else []
        tables.append(TaskTable(task, scores, pairs, p, tuple(order), reason))
    return Report(tuple(contenders), tuple(tables), axis, tuple(allowed), tuple(left_out))


def _test(
    contenders: Sequence[Contender], row: Sequence[Record], results_dir: str | Path
) -> tuple[tuple[float, ...], dict[tuple[int, int], Comparison], str]:
    """Scores of the contenders, every pair tested, and why that is not possible."""
    records = iter(row)
    groups = [[next(records) for _ in contender.runs] for contender in contenders]
    scores = tuple(fmean(record.scores.main for record in group) for group in groups)
    try:
        return scores, all_pairs([[read_examples(r, results_dir) for r in group] for group in groups]), ""
    except (OSError, ValueError) as error:
        return scores, {}, str(error)


def mean_difference(report: Report) -> tuple[float, float, float, int] | None:
    """Mean difference of two contenders over the tested tasks where higher is better, its interval, and their number.

    The tasks are taken as they are, not as a sample of tasks.
    """
    found = [t.pairs[0, 1] for t in report.tables if t.pairs and t.task.higher_is_better]
    if not found:
        return None
    difference = fmean(c.difference for c in found)
    half = math.sqrt(sum(((c.high - c.low) / 2) ** 2 for c in found)) / len(found)
    return difference, difference - half, difference + half, len(found)
