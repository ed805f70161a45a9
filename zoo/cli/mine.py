"""`zoo mine`: hard negatives for pairs."""

from __future__ import annotations

import argparse

from zoo.cli.pair_arguments import add_arguments, report, source_of


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `zoo mine`."""
    parser = commands.add_parser(
        "mine",
        help="find hard negatives for pairs with a trained model",
        description="Write pairs with hard negatives: documents that the model scores high for a query, but below its "
        "own ones. PairData reads the folder. Run it again to go on where it stopped.",
    )
    add_arguments(parser)
    parser.add_argument("--negatives", type=int, default=7, metavar="N", help="a query; default: %(default)s")
    parser.add_argument(
        "--margin",
        type=float,
        default=0.95,
        metavar="R",
        help="a negative scores below R times the lowest of the query's own documents; default: %(default)s",
    )
    parser.set_defaults(handler=_mine)


def _mine(options: argparse.Namespace) -> int:
    from zoo.cli.teacher import ModelTeacher
    from zoo.data import PairSource
    from zoo.data.mining import mine_negatives

    source = PairSource(**source_of(options))
    teacher = ModelTeacher(options.model, options.device, options.precision)
    report(options.out, mine_negatives(source, teacher, options.out, options.negatives, options.margin))
    return 0
