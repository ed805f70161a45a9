"""`zoo bench status`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import failures, index

if TYPE_CHECKING:
    from rich.console import Console

    from bench.failures import Failure
    from bench.index import Entry

NARROW = {"not applicable": "n/a"}


def add(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `zoo bench status`."""
    parser.add_argument("--results", default="results", metavar="DIR", help="of the records (default: %(default)s)")
    parser.add_argument(
        "--model", nargs="+", action="extend", default=[], metavar="M", help="only models with these names"
    )
    parser.add_argument("--suite", nargs="+", action="extend", default=[], metavar="S", help="only these suites")
    parser.add_argument("--cells", action="store_true", help="one line a cell: done, missing or failed and why")
    parser.set_defaults(handler=status)


def status(args: argparse.Namespace) -> int:
    """The command; its exit status."""
    return print_status(args.results, args.model, args.suite, cells=args.cells)


def print_status(
    results: str | Path, models: Sequence[str] = (), suites: Sequence[str] = (), *, cells: bool = False
) -> int:
    """Print what is done, missing and failed.

    Args:
        results: folder of the records.
        models: names to choose; empty takes all.
        suites: names to choose; empty takes all.
        cells: print a line a cell instead of a table.

    Returns:
        1 if a file cannot be used or a cell failed, else 0.

    Raises:
        FileNotFoundError: if the folder is not there.
    """
    from rich.console import Console

    root = Path(results)
    found = index.entries(root)
    board = _Board(
        [e for e in found if not e.problem and e.model in (models or (e.model,)) and e.suite in (suites or (e.suite,))],
        [reason for reason in failures.load_all(root) if not models or reason.model in models],
    )
    problems = [entry.problem for entry in found if entry.problem]
    console = Console()
    if not board.models:
        console.print(f"no records in {results}; make some with `zoo bench run`", markup=False)
    elif cells:
        _print_cells(console, board)
    else:
        _print_table(console, board)
    for failure in board.failed if not cells else ():
        console.print(f"failed: {failure.model}  {failure.task}: {failure.reason}", markup=False, soft_wrap=True)
    for problem in problems:
        console.print(f"unusable: {problem}", markup=False, soft_wrap=True)
    return 1 if problems or board.failed else 0


class _Board:
    """Cells by model and task. A task that any model was asked for is missing where another has not got it."""

    def __init__(self, done: Sequence[Entry], reasons: Sequence[Failure]) -> None:
        keys: dict[str, set[str]] = {}
        for entry in done:
            keys.setdefault(entry.task, set()).add(entry.key)
        self.failed = [reason for reason in reasons if reason.state == "failed"]
        self.scores: dict[tuple[str, str], dict[str, Entry]] = {}
        self.reasons: dict[tuple[str, str], dict[str, Failure]] = {}
        for entry in done:
            title = entry.task if len(keys[entry.task]) == 1 else f"{entry.task} {entry.key}"
            self.scores.setdefault((entry.model, entry.revision), {})[title] = entry
        for reason in reasons:
            self.reasons.setdefault((reason.model, reason.revision), {})[reason.task] = reason
        tasks = [*(t for cells in self.scores.values() for t in cells), *(reason.task for reason in reasons)]
        self.tasks = sorted(set(tasks))
        self.models = sorted({*self.scores, *self.reasons})

    def cell(self, model: tuple[str, str], task: str) -> str:
        """A score, `failed`, `not applicable`, or `missing`."""
        if task in self.scores.get(model, ()):
            entry = self.scores[model][task]
            return f"{entry.main:.4f}{'*' if entry.deviates else ''}"
        found = self.reasons.get(model, {}).get(task)
        return "missing" if found is None else found.state

    @property
    def deviating(self) -> list[str]:
        """Tasks with data that is not the official, with what is wrong."""
        found = {e.task: e.deviates for entries in self.scores.values() for e in entries.values() if e.deviates}
        return [f"{task}: {note}" for task, note in sorted(found.items())]


def _print_table(console: Console, board: _Board) -> None:
    from rich.table import Column, Table

    # a name of a task and a score need about twelve characters; what does not fit is counted instead
    fits = len(board.tasks) <= (console.width - 40) // 12
    tasks = board.tasks if fits else []
    headers = ["model", "revision", "done", "missing", "failed"]
    table = Table(
        *(Column(header, overflow="fold") for header in headers),
        *(Column(task, overflow="fold", min_width=7) for task in tasks),
    )
    for model in board.models:
        cells = Counter(board.cell(model, task) for task in board.tasks)
        done = len(board.scores.get(model, ()))
        counts = (done, cells["missing"], cells["failed"])
        table.add_row(*model, *map(str, counts), *(NARROW.get(c, c) for c in (board.cell(model, t) for t in tasks)))
    console.print(table)
    if not fits:
        console.print(f"{len(board.tasks)} tasks do not fit in a row: --cells prints one line each")
    for note in board.deviating:
        console.print(f"* not the official data: {note}", markup=False, soft_wrap=True)


def _print_cells(console: Console, board: _Board) -> None:
    for model in board.models:
        for task in board.tasks:
            cell = board.cell(model, task)
            why = f": {board.reasons[model][task].reason}" if cell in ("failed", "not applicable") else ""
            known = f"done {cell}" if task in board.scores.get(model, ()) else cell
            line = f"{model[0]}  {model[1]}  {task}  {known}{why}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
