"""Timings as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from bench.speed.ratio import Timing, ratios


def print_against(title: str, timings: Mapping[str, Timing], ours: str) -> None:
    """Milliseconds of each, and by how much the others are slower than `ours`."""
    table = Table("", "ms", "slower by: min", "median", "max", title=title, title_justify="left")
    for name, timing in timings.items():
        by = ["" if name == ours else f"{ratio:.3g}x" for ratio in ratios(timings[ours], timing)]
        table.add_row(name, f"{timing.median * 1e3:.2f}", *by)
    Console().print(table)


def print_rates(title: str, unit: str, work: float, timings: Mapping[str, Timing], ours: str) -> None:
    """Work a second of each, and by how much `ours` is faster than the others."""
    table = Table("", unit, "zoo is faster by: min", "median", "max", title=title, title_justify="left")
    for name, timing in timings.items():
        by = ratios(timings[ours], timing)
        table.add_row(name, f"{work / timing.median:,.0f}", *("" if name == ours else f"{r:.2f}x" for r in by))
    Console().print(table)
