"""`zoo bench export` and `zoo bench import`."""

from __future__ import annotations

import argparse


def add_export(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `zoo bench export`."""
    parser.add_argument("--results", default="results", metavar="DIR", help="of the records (default: %(default)s)")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder that `mteb.ResultCache` reads")
    parser.set_defaults(handler=export)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `zoo bench import`."""
    parser.add_argument("folder", metavar="DIR", help="results in the layout of mteb")
    parser.add_argument("--results", default="results", metavar="DIR", help="records go here (default: %(default)s)")
    parser.set_defaults(handler=import_results)


def export(args: argparse.Namespace) -> int:
    """Write the records of mteb tasks in the layout of mteb; 1 if a record cannot be used, else 0."""
    from bench.exchange import export as exported

    report = exported(args.results, args.output)
    print(f"{len(report.written)} results in {args.output}")
    for reason in report.left_out:
        print(f"not exported: {reason}")
    for problem in report.problems:
        print(f"unusable: {problem}")
    return 1 if report.problems else 0


def import_results(args: argparse.Namespace) -> int:
    """Write results of mteb as records; 1 if a file cannot be used, else 0."""
    from bench.exchange import import_results as imported

    report = imported(args.folder, args.results)
    print(f"{len(report.written)} records in {args.results}")
    for reason in report.left_out:
        print(f"not imported: {reason}")
    for problem in report.problems:
        print(f"unusable: {problem}")
    return 1 if report.problems else 0
