"""`zoo bench speed`: the ratios, printed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.speed.ratio import Timing

_PRECISIONS = ("32-true", "bf16-mixed")


def add_speed(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `zoo bench speed`."""
    parser.add_argument("what", choices=("training", "encoding", "memory"))
    parser.add_argument("--precision", nargs="+", default=list(_PRECISIONS), choices=_PRECISIONS)
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="CPU threads (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="counted rounds (default: %(default)s)")
    parser.add_argument("--vocabulary", type=int, metavar="V", help="8192 by default, 50000 for memory")
    parser.add_argument("--texts", type=int, default=10_000, metavar="N", help="texts to encode (default: %(default)s)")
    parser.set_defaults(handler=_speed)


def _speed(args: argparse.Namespace) -> int:
    import torch

    torch.set_num_threads(args.threads)
    {"training": _training, "encoding": _encoding, "memory": _memory}[args.what](args)
    return 0


def _training(args: argparse.Namespace) -> None:
    from bench.speed import training
    from bench.speed.text import Shape

    shape = Shape(vocabulary=args.vocabulary or Shape().vocabulary)
    for precision in args.precision:
        result = training.measure(precision, args.rounds, shape=shape)
        _print_rates(f"MaskedLM training, {precision}", "real tokens/s", result.tokens, result.timings, training.OURS)


def _encoding(args: argparse.Namespace) -> None:
    from bench.speed import encoding
    from bench.speed.text import Shape

    shape = Shape(vocabulary=args.vocabulary or Shape().vocabulary)
    for precision in args.precision:
        timings = encoding.measure(precision, args.texts, args.rounds, shape=shape)
        _print_rates(f"encoding {args.texts:,} texts, {precision}", "texts/s", args.texts, timings, encoding.OURS)


def _memory(args: argparse.Namespace) -> None:
    from bench.speed import memory

    vocabulary = args.vocabulary or 50_000
    found = memory.measure(vocabulary)
    print(f"peak memory that training steps add to a fresh process, V = {vocabulary:,}, float32")
    for head, size in found.items():
        print(f"  {head:<8} {size / 1e6:8.0f} MB")
    print(f"  ratio    {found['chunks'] / found['logits']:8.2f}")


def _print_rates(title: str, unit: str, work: float, timings: Mapping[str, Timing], ours: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.speed.ratio import ratios

    table = Table("", unit, "zoo is faster by: min", "median", "max", title=title, title_justify="left")
    for name, timing in timings.items():
        by = ratios(timings[ours], timing)
        table.add_row(name, f"{work / timing.median:,.0f}", *("" if name == ours else f"{r:.2f}x" for r in by))
    Console().print(table)
