"""What each measurement of `zoo bench speed` does with its arguments; exit status 1 where a limit is not kept."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.speed.optimizer import Result as OptimizerResult
    from bench.speed.suite import Runs


def training(args: argparse.Namespace) -> int:
    """`zoo bench speed training`."""
    import torch

    from bench.speed import training
    from bench.speed.tables import print_rates
    from bench.speed.text import Shape

    torch.set_num_threads(args.threads)
    for precision in args.precision:
        result = training.measure(precision, args.rounds, shape=Shape(vocabulary=args.vocabulary))
        print_rates(f"MaskedLM training, {precision}", "real tokens/s", result.tokens, result.timings, training.OURS)
    return 0


def encoding(args: argparse.Namespace) -> int:
    """`zoo bench speed encoding`."""
    import torch

    from bench.speed import encoding
    from bench.speed.tables import print_rates
    from bench.speed.text import Shape

    torch.set_num_threads(args.threads)
    for precision in args.precision:
        timings = encoding.measure(precision, args.texts, args.rounds, shape=Shape(vocabulary=args.vocabulary))
        print_rates(f"encoding {args.texts:,} texts, {precision}", "texts/s", args.texts, timings, encoding.OURS)
    return 0


def memory(args: argparse.Namespace) -> int:
    """`zoo bench speed memory`."""
    import torch

    from bench.speed import memory

    torch.set_num_threads(args.threads)
    found = memory.measure(args.vocabulary)
    print(f"peak memory that training steps add to a fresh process, V = {args.vocabulary:,}, float32")
    for head, size in found.items():
        print(f"  {head:<8} {size / 1e6:8.0f} MB")
    print(f"  ratio    {found['chunks'] / found['logits']:8.2f}")
    return 0


def optimizer(args: argparse.Namespace) -> int:
    """`zoo bench speed optimizer`."""
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


def subspace(args: argparse.Namespace) -> int:
    """`zoo bench speed subspace`."""
    import torch
    from rich.console import Console

    from bench.speed import subspace
    from bench.speed.tables import print_against

    torch.set_num_threads(args.threads)
    console = Console()
    for shape in subspace.SHAPES:
        print_against(f"cross-entropy of 128 rows, {shape}", subspace.measure_loss(shape, args.rounds), subspace.OURS)
    two, three = subspace.SHAPES[:2]
    biased, own = ("with a bias", {"bias": True}), ("1,024 own rows", {"own_rows": 1024})
    for shape, (added, options) in ((two, biased), (three, biased), (two, own)):
        timings = subspace.measure_loss(shape, args.rounds, **options)
        print_against(f"the same, {shape}, {added}", timings, subspace.OURS)
    for tables in (2, 3):
        growth = subspace.measure_growth(tables=tables, rounds=args.rounds)
        times = ", ".join(f"{v:,}: {t.median * 1e3:.2f}" for v, t in growth.items())
        console.print(f"milliseconds by V, {tables} tables: {times}")
    for shape in subspace.SHAPES:
        timings, sizes = subspace.measure_lookup(shape, args.rounds)
        memory = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in sizes.items())
        title = f"look-up of {subspace.TOKENS:,} tokens, backward, AdamW, {shape}; with gradient and state: {memory}"
        print_against(title, timings, subspace.OURS)
    return 0


def augmented(args: argparse.Namespace) -> int:
    """`zoo bench speed augmented`."""
    import torch

    from bench.speed import augmented
    from bench.speed.tables import print_against

    torch.set_num_threads(args.threads)
    for shape in augmented.SHAPES:
        print_against(f"a step of the head, {shape}", augmented.measure(shape, args.rounds), augmented.PLAIN)
    return 0


def moe(args: argparse.Namespace) -> int:
    """`zoo bench speed moe`."""
    import torch

    from bench.speed import moe
    from bench.speed.tables import print_against

    torch.set_num_threads(args.threads)
    shape = moe.Shape(tokens=args.tokens)
    for precision in args.precision:
        for top_k in (2, 1):
            timings = moe.measure(top_k, precision, args.rounds, args.device, shape)
            print_against(f"a layer, K = {top_k}, {precision}, {shape}", timings, moe.DENSE)
    return 0


def contrastive(args: argparse.Namespace) -> int:
    """`zoo bench speed contrastive`."""
    import torch
    from rich.console import Console

    from bench.speed import contrastive
    from bench.speed.tables import print_against, print_rates

    torch.set_num_threads(args.threads)
    for precision in args.precision if "packed" in args.parts else ():
        timings = contrastive.measure_packed(precision, 64, args.rounds)
        title = f"steps on 64 pairs of the embedded corpus, {precision}"
        print_rates(title, "pairs/s", 64, timings, contrastive.PACKED)
    for precision in args.precision if "chunks" in args.parts else ():
        timings = contrastive.measure_chunks(precision, 512, 64, args.rounds)
        print_against(f"a step on 512 pairs, chunks of 64, {precision}", timings, contrastive.AT_ONCE)
    if "memory" in args.parts:
        small, large, vectors = contrastive.measure_memory(args.pairs, 256)
        Console().print(
            f"peak memory that a step adds: {large / 1e6:,.0f} MB with {args.pairs:,} pairs in chunks of 256, "
            f"{small / 1e6:,.0f} MB with the 256 of most tokens at once; all vectors and their gradients "
            f"{vectors / 1e6:,.0f} MB"
        )
    return 0


def sparse_target(args: argparse.Namespace) -> int:
    """`zoo bench speed sparse-target`."""
    from bench.speed.sparse_target_report import print_parts

    return print_parts(args.parts, args.threads, args.rounds)


def suite(args: argparse.Namespace) -> int:
    """`zoo bench speed suite`."""
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


def search(args: argparse.Namespace) -> int:
    """`zoo bench speed search`."""
    from bench.speed import search

    found = search.measure(args.documents, search.parse_size(args.memory), args.queries, threads=args.threads)
    print(f"search over {found.documents:,} documents for {found.queries:,} queries under a cap of {args.memory}")
    print(f"  index        {found.index_seconds:8.1f} s")
    print(f"  search       {found.search_seconds:8.1f} s")
    print(
        f"  peak memory  {found.peak_bytes / 1e6:8.0f} MB, of which {found.start_bytes / 1e6:.0f} MB before the index"
    )
    return 0


def status(args: argparse.Namespace) -> int:
    """`zoo bench speed status`."""
    from bench.speed import status

    found = status.measure(args.records, args.rounds)
    print(f"`zoo bench status` with {args.records:,} records, CPU seconds")
    print(f"  without index  {found.cold:6.2f}")
    print(f"  with index     {found.median:6.2f}  (median of {len(found.warm)}, highest {max(found.warm):.2f})")
    return 0
