"""`zoo bench speed`: what is measured against other libraries or a limit, printed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bench.models.opening import PRECISIONS

if TYPE_CHECKING:
    from bench.speed.optimizer import Result as OptimizerResult
    from bench.speed.ratio import Timing
    from bench.speed.suite import Runs

_BOTH = ("32-true", "bf16-mixed")


def add_speed(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the measurements of `zoo bench speed` and their arguments."""
    commands = parser.add_subparsers(title="measurements", required=True, metavar="WHAT")
    training = commands.add_parser("training", help="MaskedLM training against transformers")
    _add_common(training, _training, rounds=5, precisions=_BOTH)
    training.add_argument("--vocabulary", type=int, default=8192, metavar="V", help="default: %(default)s")
    encoding = commands.add_parser("encoding", help="encoding texts against sentence-transformers")
    _add_common(encoding, _encoding, rounds=5, precisions=_BOTH)
    encoding.add_argument("--vocabulary", type=int, default=8192, metavar="V", help="default: %(default)s")
    encoding.add_argument("--texts", type=int, default=10_000, metavar="N", help="default: %(default)s")
    memory = commands.add_parser("memory", help="memory of a training step with a large vocabulary")
    _add_common(memory, _memory)
    memory.add_argument("--vocabulary", type=int, default=50_000, metavar="V", help="default: %(default)s")
    optimizer = commands.add_parser("optimizer", help="CoupledAdamW on a vocabulary table and in training")
    _add_common(optimizer, _optimizer, rounds=5)
    optimizer.add_argument("--vocabulary", type=int, default=50_304, metavar="V", help="default: %(default)s")
    optimizer.add_argument("--width", type=int, default=768, metavar="H", help="default: %(default)s")
    optimizer.add_argument("--device", default="cpu", metavar="D", help="default: %(default)s")
    subspace = commands.add_parser("subspace", help="a subspace table against a full one: loss, look-up, memory")
    _add_common(subspace, _subspace, rounds=5)
    augmented = commands.add_parser("augmented", help="the augmented loss against the plain softmax")
    _add_common(augmented, _augmented, rounds=5)
    _add_suite(commands.add_parser("suite", help="a suite of tasks against mteb.evaluate with sentence-transformers"))
    _add_search(commands.add_parser("search", help="a search over many documents under a cap on memory"))
    status = commands.add_parser("status", help="start of `zoo bench status` in a folder of many records")
    _add_common(status, _status, rounds=5)
    status.add_argument("--records", type=int, default=10_000, metavar="N", help="default: %(default)s")


def _add_common(
    parser: argparse.ArgumentParser,
    handler: Callable[[argparse.Namespace], int],
    *,
    rounds: int | None = None,
    precisions: tuple[str, ...] = (),
) -> None:
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="CPU threads (default: %(default)s)")
    if rounds is not None:
        parser.add_argument(
            "--rounds", type=int, default=rounds, metavar="N", help="counted rounds (default: %(default)s)"
        )
    if precisions:
        given = list(precisions)
        parser.add_argument("--precision", nargs="+", default=given, choices=_BOTH, help=f"default: {' '.join(given)}")
    parser.set_defaults(handler=handler)


def _add_suite(parser: argparse.ArgumentParser) -> None:
    _add_common(parser, _suite, rounds=3)
    parser.add_argument("--model", required=True, metavar="M", help="sentence-transformers folder or hub name")
    parser.add_argument(
        "--tasks", nargs="+", metavar="NAME", help="TASK, TASK[subset,subset], TASK@split (default: six small ones)"
    )
    parser.add_argument(
        "--precision", default="32-true", choices=PRECISIONS, help="of ours; theirs is float32 (default: %(default)s)"
    )
    parser.add_argument("--autocast", action="store_true", help="run sentence-transformers in bfloat16 autocast too")


def _add_search(parser: argparse.ArgumentParser) -> None:
    _add_common(parser, _search)
    parser.add_argument("--documents", type=int, default=200_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--queries", type=int, default=500, metavar="N", help="default: %(default)s")
    parser.add_argument("--memory", default="2G", metavar="SIZE", help="cap, such as 512M or 2G (default: %(default)s)")


def _training(args: argparse.Namespace) -> int:
    import torch

    from bench.speed import training
    from bench.speed.text import Shape

    torch.set_num_threads(args.threads)
    for precision in args.precision:
        result = training.measure(precision, args.rounds, shape=Shape(vocabulary=args.vocabulary))
        _print_rates(f"MaskedLM training, {precision}", "real tokens/s", result.tokens, result.timings, training.OURS)
    return 0


def _encoding(args: argparse.Namespace) -> int:
    import torch

    from bench.speed import encoding
    from bench.speed.text import Shape

    torch.set_num_threads(args.threads)
    for precision in args.precision:
        timings = encoding.measure(precision, args.texts, args.rounds, shape=Shape(vocabulary=args.vocabulary))
        _print_rates(f"encoding {args.texts:,} texts, {precision}", "texts/s", args.texts, timings, encoding.OURS)
    return 0


def _memory(args: argparse.Namespace) -> int:
    import torch

    from bench.speed import memory

    torch.set_num_threads(args.threads)
    found = memory.measure(args.vocabulary)
    print(f"peak memory that training steps add to a fresh process, V = {args.vocabulary:,}, float32")
    for head, size in found.items():
        print(f"  {head:<8} {size / 1e6:8.0f} MB")
    print(f"  ratio    {found['chunks'] / found['logits']:8.2f}")
    return 0


def _optimizer(args: argparse.Namespace) -> int:
    import torch

    from bench.speed import optimizer

    torch.set_num_threads(args.threads)
    table = optimizer.measure_table(args.vocabulary, args.width, args.rounds, device=args.device)
    _print_optimizers(f"a step on a table of {args.vocabulary:,} x {args.width}, float32, {args.device}", table)
    _print_optimizers("training steps of a small tied CausalLM, float32, cpu", optimizer.measure_training(args.rounds))
    return 0


def _print_optimizers(title: str, result: OptimizerResult) -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.speed.optimizer import OURS
    from bench.speed.ratio import ratios

    headers = ("ms a round", "ours / it: min", "median", "max", "state, MB", "ours / it")
    table = Table("", *headers, title=title, title_justify="left")
    sizes = result.state_bytes
    for name, timing in result.timings.items():
        by = [f"{ratio:.3f}" for ratio in ratios(timing, result.timings[OURS])]
        size = (f"{sizes[name] / 1e6:.2f}", f"{sizes[OURS] / sizes[name]:.4f}")
        table.add_row(name, f"{timing.median * 1e3:.1f}", *by, *size)
    Console().print(table)


def _subspace(args: argparse.Namespace) -> int:
    import torch
    from rich.console import Console

    from bench.speed import subspace

    torch.set_num_threads(args.threads)
    console = Console()
    for shape in subspace.SHAPES:
        _print_against(f"cross-entropy of 128 rows, {shape}", subspace.measure_loss(shape, args.rounds), subspace.OURS)
    small = subspace.SHAPES[0]
    for options in ({"bias": True}, {"own_rows": 1024}):
        title = f"the same, {small}, {options}"
        _print_against(title, subspace.measure_loss(small, args.rounds, **options), subspace.OURS)
    for tables in (2, 3):
        growth = subspace.measure_growth(tables=tables, rounds=args.rounds)
        times = ", ".join(f"{v:,}: {t.median * 1e3:.2f}" for v, t in growth.items())
        console.print(f"milliseconds by V, {tables} tables: {times}")
    for shape in subspace.SHAPES:
        timings, sizes = subspace.measure_lookup(shape, args.rounds)
        memory = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in sizes.items())
        title = f"look-up of {subspace.TOKENS:,} tokens, backward, AdamW, {shape}; with gradient and state: {memory}"
        _print_against(title, timings, subspace.OURS)
    return 0


def _augmented(args: argparse.Namespace) -> int:
    import torch

    from bench.speed import augmented

    torch.set_num_threads(args.threads)
    for shape in augmented.SHAPES:
        _print_against(f"a step of the head, {shape}", augmented.measure(shape, args.rounds), augmented.PLAIN)
    return 0


def _print_against(title: str, timings: Mapping[str, Timing], ours: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.speed.ratio import ratios

    table = Table("", "ms", "slower by: min", "median", "max", title=title, title_justify="left")
    for name, timing in timings.items():
        by = ["" if name == ours else f"{ratio:.3g}x" for ratio in ratios(timings[ours], timing)]
        table.add_row(name, f"{timing.median * 1e3:.2f}", *by)
    Console().print(table)


def _suite(args: argparse.Namespace) -> int:
    from bench.speed import suite

    runs = suite.measure(
        args.model,
        args.tasks or suite.TASKS,
        args.precision,
        args.rounds,
        threads=args.threads,
        autocast=args.autocast,
    )
    for other in runs:
        if other != suite.OURS:
            _print_suite(runs, other, args.precision)
    return 0


def _print_suite(runs: Runs, other: str, precision: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.speed import suite
    from bench.speed.ratio import ratios

    title = f"{suite.OURS} ({precision}) against {other}"
    headers = ("seconds, ours", "theirs", "ratio", "score, ours", "theirs", "difference", "overhead, ours")
    table = Table("task", *headers, title=title, title_justify="left")
    for row in suite.rows(runs, other):
        table.add_row(*row)
    console = Console()
    console.print(table)
    low, middle, high = ratios(suite.total(runs, other), suite.total(runs, suite.OURS))
    console.print(f"total, ours / theirs: median {middle:.3f}, from {low:.3f} to {high:.3f} over the rounds")


def _search(args: argparse.Namespace) -> int:
    from bench.speed import search

    found = search.measure(args.documents, search.parse_size(args.memory), args.queries, threads=args.threads)
    print(f"search over {found.documents:,} documents for {found.queries:,} queries under a cap of {args.memory}")
    print(f"  index        {found.index_seconds:8.1f} s")
    print(f"  search       {found.search_seconds:8.1f} s")
    print(
        f"  peak memory  {found.peak_bytes / 1e6:8.0f} MB, of which {found.start_bytes / 1e6:.0f} MB before the index"
    )
    return 0


def _status(args: argparse.Namespace) -> int:
    from bench.speed import status

    found = status.measure(args.records, args.rounds)
    print(f"`zoo bench status` with {args.records:,} records, CPU seconds")
    print(f"  without index  {found.cold:6.2f}")
    print(f"  with index     {found.median:6.2f}  (median of {len(found.warm)}, highest {max(found.warm):.2f})")
    return 0


def _print_rates(title: str, unit: str, work: float, timings: Mapping[str, Timing], ours: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.speed.ratio import ratios

    table = Table("", unit, "zoo is faster by: min", "median", "max", title=title, title_justify="left")
    for name, timing in timings.items():
        by = ratios(timings[ours], timing)
        table.add_row(name, f"{work / timing.median:,.0f}", *("" if name == ours else f"{r:.2f}x" for r in by))
    Console().print(table)
