"""`zoo filter`: pairs whose document is not what the query asks for are left out."""

from __future__ import annotations

import argparse

from zoo.cli.pair_arguments import add_arguments, report, source_of


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `zoo filter`."""
    parser = commands.add_parser(
        "filter",
        help="leave out pairs that a trained model does not confirm",
        description="Keep a training pair if its document is among the best of its query within a shard of the pairs. "
        "PairData reads the folder. Run it again to go on where it stopped.",
    )
    add_arguments(parser)
    parser.add_argument("--top_k", type=int, default=2, metavar="K", help="best documents; default: %(default)s")
    parser.add_argument(
        "--shard_pairs", type=int, default=1_000_000, metavar="N", help="most pairs of a shard; default: %(default)s"
    )
    parser.set_defaults(handler=_filter)


def _filter(options: argparse.Namespace) -> int:
    from zoo.cli.teacher import ModelTeacher
    from zoo.data import PairSource
    from zoo.data.mining import filter_pairs

    source = PairSource(**source_of(options))
    teacher = ModelTeacher(options.model, options.device, options.precision)
    report(options.out, filter_pairs(source, teacher, options.out, options.top_k, options.shard_pairs))
    return 0
