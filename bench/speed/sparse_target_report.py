"""What `zoo bench speed sparse-target` prints."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console

from bench.speed import sparse_target, sparse_target_training
from bench.speed.fresh import in_fresh_process
from bench.speed.tables import print_against, print_rates


def print_parts(parts: Collection[str], threads: Collection[int], rounds: int) -> int:
    """Print the measurements, each in a process of its own.

    Args:
        parts: `step`, `growth`, `training` or `memory`.
        threads: CPU threads, all parts but the memory once for each.
        rounds: counted rounds.

    Returns:
        1 if a step needs more memory than it may, else 0.
    """
    for number in threads:
        if "step" in parts:
            _print_steps(number, rounds)
        if "growth" in parts:
            growth = in_fresh_process(number, sparse_target.measure_growth, rounds=rounds)
            times = ", ".join(f"{v:,}: {t.median * 1e3:.1f}" for v, t in growth.items())
            Console().print(f"milliseconds by V, threads: {number}: {times}")
        if "training" in parts:
            _print_training(number, rounds)
    return _print_memory() if "memory" in parts else 0


def _print_steps(threads: int, rounds: int) -> None:
    for size in sparse_target.SIZES:
        timings = in_fresh_process(threads, sparse_target.measure, size, rounds)
        print_against(f"one step, {size}, threads: {threads}", timings, sparse_target.OURS)


def _print_training(threads: int, rounds: int) -> None:
    setting = sparse_target_training.Setting()
    found = in_fresh_process(threads, sparse_target_training.measure, setting, rounds)
    title = (
        f"training steps of {found.tokens:,} tokens, V = {setting.classes:,}, D = {setting.width}, threads: {threads}; "
        f"encoder of {found.encoder_weights / 1e6:.1f} million weights and input of two subspace tables under AdamW, "
        "W under gradient descent"
    )
    print_rates(title, "tokens/s", found.tokens, found.timings, sparse_target_training.OURS)


def _print_memory() -> int:
    size, most = sparse_target.SIZES[-1], sparse_target.MOST_ADDED
    table, added = sparse_target.measure_memory(size)
    verdict = "at most" if added <= most else "MORE THAN"
    Console().print(
        f"memory, {size}: table {table / 1e6:,.1f} MB, beside it {added / 1e6:,.1f} MB, {verdict} {most / 1e6:.0f} MB"
    )
    return int(added > most)
