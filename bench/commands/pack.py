"""`zoo bench pack`."""

from __future__ import annotations

import argparse

from bench.commands.run import add_word_sets
from bench.suites.catalog import SUITES


def add(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `zoo bench pack`."""
    suites = f"{', '.join(SUITES)}, or a benchmark of mteb by name"
    parser.add_argument("--suite", nargs="+", action="extend", default=[], metavar="S", help=suites)
    names = "tasks or benchmarks of mteb or of ours: TASK, TASK[subset,subset], TASK@split"
    parser.add_argument("--tasks", nargs="+", action="extend", default=[], metavar="NAME", help=names)
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="bundle to write, such as mini.zip")
    add_word_sets(parser)
    parser.set_defaults(handler=pack)


def pack(args: argparse.Namespace) -> int:
    """Write the data of suites and tasks into one file; 0."""
    from pathlib import Path

    if not (args.suite or args.tasks):
        raise ValueError("nothing to pack: name something by --suite or --tasks")
    folder = Path(args.output).resolve().parent
    if not folder.is_dir():  # before hours of loading
        raise ValueError(f"--output {args.output}: the folder {folder} does not exist; make it first")
    from bench.data import packing
    from bench.suites import catalog

    tasks = catalog.build(args.suite, args.tasks, catalog.Sources(word_sets=args.word_sets))
    report = packing.pack(tasks, args.output, lambda name: print(f"packing {name}"))
    print(f"{len(report.tasks)} tasks and {len(report.datasets)} tables in {args.output} ({report.bytes:,} bytes)")
    if report.left_out:
        print(f"without data of the hub, so not in it and not needed: {', '.join(report.left_out)}")
    print(f"copy it, and run there: zoo bench run --bundle {Path(args.output).name} --model MODEL --suite SUITE")
    return 0
