"""`zoo bench run|list|speed|status`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bench.models.opening import LEXICAL, PRECISIONS
from bench.speed.cli import add_speed
from bench.suites.catalog import BY_NAME_ONLY, SUITES

if TYPE_CHECKING:
    from bench.records import Record
    from bench.runner import Cell


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench` to the commands; each sub-command sets `handler`, which takes the parsed arguments."""
    commands = subparsers.add_parser("bench", help="score models and keep the evidence").add_subparsers(
        title="commands", required=True, metavar="COMMAND"
    )
    _add_run(commands.add_parser("run", help="score models on suites and tasks"))
    listing = commands.add_parser("list", help="suites and their tasks")
    listing.set_defaults(handler=list_tasks)
    add_speed(commands.add_parser("speed", help="ratios of speed and memory against other libraries"))
    state = commands.add_parser("status", help="what is recorded and what is missing")
    state.add_argument(
        "--results", default="results", metavar="DIR", help="folder of the records (default: %(default)s)"
    )
    state.set_defaults(handler=status)


def _add_run(parser: argparse.ArgumentParser) -> None:
    models = f"run folder, .ckpt file, sentence-transformers folder or hub name, or {LEXICAL!r}; LABEL=M to name it"
    parser.add_argument("--model", nargs="+", required=True, metavar="M", help=models)
    parser.add_argument("--suite", nargs="+", default=[], metavar="S", help=f"{', '.join(SUITES)} (default: all)")
    parser.add_argument(
        "--tasks", nargs="+", default=[], metavar="NAME", help="tasks or benchmarks of mteb or of ours, by name"
    )
    parser.add_argument(
        "--results", default="results", metavar="DIR", help="folder of the records (default: %(default)s)"
    )
    parser.add_argument("--device", help="such as cpu or cuda (default: the best there is)")
    parser.add_argument("--precision", default=PRECISIONS[0], choices=PRECISIONS, help="default: %(default)s")
    parser.add_argument("--packages", nargs="+", metavar="P", help="packages of the embedded corpus")
    parser.add_argument(
        "--quiet", action="store_true", help="no progress bars (the default where there is no terminal)"
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Score models; 1 if a task failed, else 0."""
    from tqdm import tqdm

    from bench import runner

    suites = args.suite or ([] if args.tasks else list(SUITES))
    report = runner.run(
        args.model,
        suites,
        args.tasks,
        args.results,
        device=args.device,
        precision=args.precision,
        packages=args.packages,
        progress=not args.quiet and sys.stderr.isatty(),
        on_cell=lambda cell: tqdm.write(line_of(cell)),
    )
    counts = {state: sum(cell.status == state for cell in report.cells) for state in runner.STATUSES}
    print(", ".join(f"{count} {state}" for state, count in counts.items() if count) + f"; records in {args.results}")
    return 1 if report.failed else 0


def line_of(cell: Cell) -> str:
    """One line that says what happened to a cell."""
    where = f"{cell.model}  {cell.task}".rstrip()
    if cell.record is None:
        return f"{cell.status}: {where}: {cell.reason}"
    task, effort = cell.record.task, cell.record.evaluation
    how = "already recorded, nothing encoded" if cell.status == "hit" else f"{effort.seconds:.1f} s"
    return f"{cell.status}: {where}  {task.metric} {cell.record.scores.main:.4f}  ({how})"


def list_tasks(args: argparse.Namespace) -> int:
    """Print the suites, their tasks, and how official ones are named."""
    for suite, tasks in SUITES.items():
        print(f"--suite {suite}")
        for task in tasks:
            print(f"    {task}")
    print("--tasks NAME ...")
    for task in BY_NAME_ONLY:
        print(f"    {task}  (from the hub)")
    print("    any task of mteb, such as SciFact, STSBenchmark or Banking77Classification")
    print('    any benchmark of mteb, such as "MTEB(eng, v2)" or NanoBEIR')
    return 0


def status(args: argparse.Namespace) -> int:
    """Print the scores by model and task; 1 if a file cannot be used, else 0."""
    from rich.console import Console
    from rich.table import Column, Table

    from bench.records import load_all

    records, problems = load_all(args.results)
    console = Console()
    tasks = sorted({record.task.name for record in records})
    table = Table(*(Column(header, overflow="fold") for header in ("model", "revision", *tasks)))
    by_model: dict[tuple[str, str], dict[str, Record]] = {}
    for record in records:
        by_model.setdefault((record.model.name, record.model.revision[:12]), {})[record.task.name] = record
    for model, scores in by_model.items():
        table.add_row(*model, *(f"{scores[task].scores.main:.4f}" if task in scores else "missing" for task in tasks))
    if records:
        console.print(table)
    else:
        console.print(f"no records in {args.results}; make some with `zoo bench run`")
    for problem in problems:
        console.print(f"unusable: {problem.message}", markup=False, soft_wrap=True)
    return 1 if problems else 0
