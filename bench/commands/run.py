"""`zoo bench run`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING

from bench.models.opening import LEXICAL, PRECISIONS
from bench.suites.catalog import DEFAULT_SUITES, SUITES

if TYPE_CHECKING:
    from bench.runner import Cell, Settings
    from bench.suites.catalog import Sources


def add(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `zoo bench run`."""
    models = (
        f"run folder, .ckpt file, sentence-transformers or cross-encoder folder or hub name, or {', '.join(LEXICAL)}; "
        "LABEL=M to name it"
    )
    parser.add_argument("--model", nargs="+", action="extend", required=True, metavar="M", help=models)
    add_tasks(parser)
    parser.add_argument("--results", default="results", metavar="DIR", help="records go here (default: %(default)s)")
    parser.add_argument("--device", help="such as cpu or cuda (default: the best there is)")
    parser.add_argument("--precision", default=PRECISIONS[0], choices=PRECISIONS, help="default: %(default)s")
    parser.add_argument("--faiss", action="store_true", help="search documents with faiss (pip install 'zoo[faiss]')")
    parser.add_argument("--devices", type=int, default=1, metavar="N", help="processes a machine (default: 1)")
    parser.add_argument("--num_nodes", type=int, default=1, metavar="M", help="machines (default: 1)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars (as where there is no terminal)")
    parser.set_defaults(handler=run)


def add_tasks(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments that say what is scored and where its data comes from."""
    suites = f"{', '.join(SUITES)}, or a benchmark of mteb by name (default: {' '.join(DEFAULT_SUITES)})"
    parser.add_argument("--suite", nargs="+", action="extend", default=[], metavar="S", help=suites)
    names = "tasks or benchmarks of mteb or of ours: TASK, TASK[subset,subset], TASK@split"
    parser.add_argument("--tasks", nargs="+", action="extend", default=[], metavar="NAME", help=names)
    parser.add_argument("--packages", nargs="+", action="extend", metavar="P", help="packages of the embedded corpus")
    parser.add_argument("--bundle", metavar="FILE", help="data of the hub out of this file, made by `zoo bench pack`")
    parser.add_argument("--glue-recipe", metavar="R", help="how GLUE is fine-tuned: standard or quick, with changes")
    add_word_sets(parser)


def add_word_sets(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the argument that says where word similarity has its pairs."""
    sets = "folder with the pairs of word similarity: data/word-sim of github.com/mfaruqui/eval-word-vectors"
    parser.add_argument("--word-sets", metavar="DIR", help=sets)


def sources_of(args: argparse.Namespace) -> Sources:
    """Where the data comes from, by the arguments of `add_tasks`."""
    from bench.suites.catalog import Sources

    bundle = None
    if args.bundle:
        from bench.data.bundle import Bundle

        bundle = Bundle.open(args.bundle)
    return Sources(
        packages=args.packages,
        bundle=bundle,
        device=getattr(args, "device", None),
        glue_recipe=args.glue_recipe,
        word_sets=args.word_sets,
    )


def run(args: argparse.Namespace) -> int:
    """Score models; 1 if a task failed, else 0."""
    _calm(progress=_wants_progress(args))
    from bench import runner

    suites = args.suite or ([] if args.tasks else list(DEFAULT_SUITES))
    settings = _settings(args)
    report = runner.run(args.model, suites, args.tasks, args.results, sources=sources_of(args), settings=settings)
    if settings.workers.rank == 0:
        counts = {state: sum(cell.status == state for cell in report.cells) for state in runner.STATUSES}
        states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        print(f"{states}; records in {args.results}")
    return 1 if report.failed else 0


def _settings(args: argparse.Namespace) -> Settings:
    from tqdm import tqdm

    from bench.parallel import ALONE
    from bench.runner import Settings

    workers = ALONE
    if args.devices != 1 or args.num_nodes != 1 or _launched_by_another():
        from bench.parallel import launch

        workers = launch(args.devices, args.num_nodes, args.device or "auto")
    return Settings(
        device=args.device,
        precision=args.precision,
        faiss=args.faiss,
        workers=workers,
        progress=_wants_progress(args) and workers.rank == 0,
        on_cell=lambda cell: tqdm.write(line_of(cell)),
    )


def _wants_progress(args: argparse.Namespace) -> bool:
    return not args.quiet and sys.stderr.isatty()


def _calm(*, progress: bool) -> None:
    """Keep away what libraries say that nobody can act on: metrics undefined for one class, bars in a log file."""
    warnings.filterwarnings("ignore", module=r"sklearn\.")
    warnings.filterwarnings("ignore", message=".*is superseded by")  # official benchmarks have such tasks
    logging.getLogger("mteb").setLevel(logging.ERROR)
    if not progress:
        for library in ("HF_DATASETS", "HF_HUB"):  # the second is that of transformers too
            os.environ.setdefault(f"{library}_DISABLE_PROGRESS_BARS", "1")


def _launched_by_another() -> bool:
    """Whether torchrun or SLURM started several of us."""
    return any(int(os.environ.get(name, "1")) > 1 for name in ("WORLD_SIZE", "SLURM_NTASKS"))


def line_of(cell: Cell) -> str:
    """One line that says what happened to a cell."""
    where = f"{cell.model}  {cell.task}".rstrip()
    if cell.record is None:
        return f"{cell.status}: {where}: {cell.reason}"
    task, effort, scores = cell.record.task, cell.record.evaluation, cell.record.scores
    how = "already recorded, nothing encoded" if cell.status == "hit" else f"{effort.seconds:.1f} s"
    within = "" if scores.interval is None else f" [{scores.interval.low:.4f}, {scores.interval.high:.4f}]"
    why = f"; {cell.reason}" if cell.reason else ""
    data = "; DATA DEVIATES from the official" if task.check is not None and task.check.status == "deviates" else ""
    return f"{cell.status}: {where}  {task.metric} {scores.main:.4f}{within}  ({how}{why}{data})"
