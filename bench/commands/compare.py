"""`zoo compare`: two models, or all that differ in one choice."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bench.fairness import AXES

if TYPE_CHECKING:
    from rich.table import Table

    from bench.compare import Report, TaskTable, UnfairError


def add(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `zoo compare`."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help="two models: NAME, NAME@REVISION or run folders")
    parser.add_argument("--axis", choices=tuple(AXES), help="all models that differ in this choice alone")
    parser.add_argument("--results", default="results", metavar="DIR", help="of the records (default: %(default)s)")
    parser.add_argument(
        "--except",
        dest="allowed",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY",
        help="differences to let through, such as model.init_args.lr; they are printed",
    )
    parser.set_defaults(handler=compare)


def compare(args: argparse.Namespace) -> int:
    """The command; 2 if the comparison would not be fair."""
    from rich.console import Console

    from bench import compare as comparison

    if bool(args.axis) == bool(args.models) or len(args.models) not in (0, 2):
        raise ValueError("name two models, or an --axis")
    try:
        if args.axis:
            report = comparison.compare_axis(args.axis, args.results, args.allowed)
        else:
            report = comparison.compare(args.models[0], args.models[1], args.results, args.allowed)
    except comparison.UnfairError as error:
        return refuse(error)
    console = Console(width=None if sys.stdout.isatty() else 160)
    for line in heading(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(table_of_axis(report) if args.axis else table_of_two(report))
    for line in summary(report, two=not args.axis):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def refuse(error: UnfairError) -> int:
    """Say what differs, one line each."""
    sys.stderr.write(f"zoo: error: not a fair comparison: {error.message}\n")
    for line in error.lines:
        sys.stderr.write(f"  {line}\n")
    sys.stderr.write("  (let a difference through with --except KEY)\n")
    return 2


def heading(report: Report) -> list[str]:
    """What is compared, and what was let through."""
    lines = [f"differs in: {report.axis or 'nothing that is known but the weights'}"]
    for contender in report.contenders:
        revisions = ", ".join(run.model.revision[:8] for run in contender.runs)
        count = len(contender.runs)
        spread = "1 seed, so the spread of seeds is unknown" if count == 1 else f"{count} seeds"
        lines.append(f"{_name(report, contender.label, contender.runs[0].model.axes)} ({revisions}; {spread})")
    if report.allowed:
        lines.append(f"let through by --except: {', '.join(report.allowed)}")
    return lines


def table_of_two(report: Report) -> Table:
    """Scores, difference, test and verdict, a row a task."""
    from rich.table import Column, Table

    names = [contender.label for contender in report.contenders]
    table = Table(*(Column(name, overflow="fold") for name in ("task", *names, "difference", "p (Holm)", "verdict")))
    for row in report.tables:
        scores = [f"{score:.4f}" for score in row.scores]
        label = f"{row.task.name} {row.task.metric}{'' if row.task.higher_is_better else ' (lower is better)'}"
        if not row.pairs:
            difference = row.scores[0] - row.scores[1]
            table.add_row(label, *scores, f"{difference:+.4f}", "", f"not tested: {row.reason}")
            continue
        test = row.pairs[0, 1]
        shown = f"{test.difference:+.4f} [{test.low:+.4f}, {test.high:+.4f}]"
        table.add_row(label, *scores, shown, f"{row.p[0, 1]:.2g}", verdict(row, names))
    return table


def verdict(row: TaskTable, names: list[str]) -> str:
    """Which of two is better, if that can be told."""
    if row.ranks[0] == row.ranks[1]:
        return "undecided"
    return f"{names[0] if row.ranks[0] < row.ranks[1] else names[1]} better"


def table_of_axis(report: Report) -> Table:
    """Score and rank of each contender, a row a task."""
    from rich.table import Column, Table

    labels = [_name(report, c.label, c.runs[0].model.axes) for c in report.contenders]
    table = Table(*(Column(name, overflow="fold") for name in ("task", *labels, "note")))
    for row in report.tables:
        cells = [f"{score:.4f}" for score in row.scores]
        if row.ranks:
            cells = [f"{cell} (rank {rank})" for cell, rank in zip(cells, row.ranks, strict=True)]
        label = f"{row.task.name} {row.task.metric}{'' if row.task.higher_is_better else ' (lower is better)'}"
        table.add_row(label, *cells, f"not tested: {row.reason}" if row.reason else "")
    return table


def summary(report: Report, *, two: bool) -> list[str]:
    """The outcome over all tasks, and the models that do not fit."""
    from bench.compare import mean_difference

    lines = []
    if two:
        names = [contender.label for contender in report.contenders]
        verdicts = [verdict(row, ["first", "second"]) for row in report.tables if row.pairs]
        counts = [verdicts.count(v) for v in ("first better", "second better", "undecided")]
        lines.append(f"{names[0]} better on {counts[0]}, {names[1]} better on {counts[1]}, undecided {counts[2]}")
        found = mean_difference(report)
        if found:
            lines.append(f"mean difference {found[0]:+.4f} [{found[1]:+.4f}, {found[2]:+.4f}] over {found[3]} tasks")
    else:
        lines.append(
            "rank: 1 + the number of models that are significantly better (Holm over all pairs and tasks, 5 %)"
        )
    return lines + [f"left out: {line}" for line in report.left_out]


def _name(report: Report, label: str, axes: object) -> str:
    choice = getattr(axes, report.axis, None) if report.axis else None
    return f"{choice}: {label}" if choice else label
