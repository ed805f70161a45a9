"""`zoo bench list`."""

from __future__ import annotations

import argparse

from bench.suites.catalog import BY_NAME_ONLY, SUITES


def add(parser: argparse.ArgumentParser) -> None:
    """`zoo bench list` has no arguments."""
    parser.set_defaults(handler=list_tasks)


def list_tasks(args: argparse.Namespace) -> int:
    """Print the suites, their tasks, and how official ones are named."""
    for suite, tasks in SUITES.items():
        print(f"--suite {suite}")
        for task in tasks:
            print(f"    {task}")
    print('--suite "MTEB(eng, v2)"  (or any benchmark of mteb, such as BEIR or NanoBEIR)')
    print("--tasks NAME ...")
    for task in BY_NAME_ONLY:
        print(f"    {task}  (from the hub)")
    print("    any task of mteb, such as SciFact or Banking77Classification;")
    print("    TASK[subset,subset] and TASK@split choose parts of one")
    return 0
