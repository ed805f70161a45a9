"""`zoo bench` and `zoo compare`: each command has a module that imports nothing heavy before it is run."""

from __future__ import annotations

import argparse

from bench.commands import compare, exchange, explain, pack, run, status, tasks, verify
from bench.speed.cli import add_speed


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench` and `compare` to the commands; each sub-command sets `handler`, which takes the parsed arguments."""
    commands = subparsers.add_parser("bench", help="score models and keep the evidence").add_subparsers(
        title="commands", required=True, metavar="COMMAND"
    )
    run.add(commands.add_parser("run", help="score models on suites and tasks"))
    tasks.add(commands.add_parser("list", help="suites and their tasks"))
    status.add(commands.add_parser("status", help="what is done, missing and failed"))
    verify.add(commands.add_parser("verify", help="make a recorded number again"))
    explain.add(commands.add_parser("explain", help="what a model does with a text"))
    pack.add(commands.add_parser("pack", help="data of suites into one file, for machines without network"))
    exchange.add_export(commands.add_parser("export", help="records into the result layout of mteb"))
    exchange.add_import(commands.add_parser("import", help="results in the layout of mteb into records"))
    add_speed(commands.add_parser("speed", help="ratios of speed and memory against other libraries"))
    compare.add(subparsers.add_parser("compare", help="two models, or all that differ in one choice, task by task"))
