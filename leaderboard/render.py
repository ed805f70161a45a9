"""The board as HTML pages. Everything that comes out of a record is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import fmean

import jinja2
import yaml
from markupsafe import Markup

from bench.records import Interval, Record, path_of
from leaderboard.aggregate import Board, Row
from leaderboard.cells import Cell, Column
from leaderboard.chart import Chart

DASH = "—"
NOT_APPLICABLE = "n/a"
ROUNDS_UP = 0.9995  # of a unit: three digits of anything above would read 1000 of the smaller one
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def index(board: Board, chart: Chart | None) -> str:
    """The page with the table and the chart."""
    drawing = Markup(chart.to_svg()) if chart else ""
    return _environment().get_template("index.html").render(board=board, chart=chart, drawing=drawing)


def model_page(board: Board, row: Row) -> str:
    """The page of one model."""
    return _environment().get_template("model.html").render(board=board, row=row)


def task_page(board: Board, column: Column) -> str:
    """The page of one task: its models, best first, with the other scores that have an interval."""
    place = board.columns.index(column)
    scored = [(row, row.cells[place]) for row in board.rows if isinstance(row.cells[place].value, int | float)]
    sign = -1 if column.better == "higher" else 1
    scored.sort(key=lambda pair: sign * float(pair[1].value or 0))
    beside = [_beside(row, column) for row, _ in scored]
    # the shorter first: at_5 before at_20
    names = sorted({name for found in beside for name in found}, key=lambda name: (len(name), name))
    rows = [
        (row, cell, [found.get(name, (DASH, "")) for name in names])
        for (row, cell), found in zip(scored, beside, strict=True)
    ]
    return _environment().get_template("task.html").render(board=board, column=column, rows=rows, names=names)


def _beside(row: Row, column: Column) -> dict[str, tuple[str, str]]:
    """Scores of a task beside the main one that have an interval, by name: mean over the seeds, and what it is."""
    runs = [record.scores.all for record in row.records if record.task == column.task]
    names = [name for name in runs[0] if all(f"{name}/low" in run for run in runs)]
    if len(runs) > 1:
        return {name: (score(fmean(run[name] for run in runs)), f"mean of {len(runs)} seeds") for name in names}
    (run,) = runs
    return {name: (score(run[name]), f"{score(run[f'{name}/low'])} to {score(run[f'{name}/high'])}") for name in names}


def interval_text(interval: Interval | None) -> str:
    """An interval as people read it, or a dash.

    >>> interval_text(Interval(low=0.61, high=0.68, level=0.95, method="t", unit="query", count=300))
    '0.6100 to 0.6800'
    """
    return f"{score(interval.low)} to {score(interval.high)}" if interval else DASH


def title(cell: Cell) -> str:
    """What a value says when it is pointed at: all its digits, its interval, its rank and its note."""
    parts = [str(cell.value)]
    if cell.interval:
        found = cell.interval
        parts.append(
            f"{found.level:.0%} interval {interval_text(found)} ({found.method}; {found.count} x {found.unit})"
        )
    if cell.rank:
        parts.append(f"rank {cell.rank}")
    return "; ".join([*parts, cell.note] if cell.note else parts)


def cell_text(column: Column, cell: Cell) -> str:
    """A value as people read it; a dash where there is none, `n/a` where there cannot be one.

    >>> column = Column("bytes", "Memory", "Cost", "", "bytes of parameters", "bytes")
    >>> cell_text(column, Cell(12_345_678)), cell_text(column, Cell(None))
    ('12.3 MB', '—')
    """
    if cell.value is None:
        return DASH if cell.applicable else NOT_APPLICABLE
    if isinstance(cell.value, str):
        return cell.value
    return {"score": score, "count": count, "bytes": size, "seconds": seconds}[column.form](cell.value)


def score(value: float) -> str:
    """Four decimals below 10, two above.

    >>> score(0.64508), score(31.4159)
    ('0.6451', '31.42')
    """
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def count(value: float) -> str:
    """Whole below 10,000, else three digits and a unit.

    >>> count(384), count(1_234_567)
    ('384', '1.23 M')
    """
    for factor, unit in UNITS:
        if value >= max(ROUNDS_UP * factor, 10_000):
            return f"{_three_digits(value / factor)} {unit}"
    return f"{value:,g}"


def size(value: float) -> str:
    """Bytes in decimal units.

    >>> size(999), size(2_500_000_000)
    ('999 B', '2.50 GB')
    """
    for factor, unit in UNITS:
        if value >= ROUNDS_UP * factor:
            return f"{_three_digits(value / factor)} {unit}B"
    return f"{value:g} B"


def seconds(value: float) -> str:
    """Seconds, never rounded to 0.

    >>> seconds(0.01234), seconds(98.765), seconds(12345.6)
    ('0.0123', '98.8', '12,346')
    """
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def as_yaml(value: Mapping[str, object]) -> str:
    """A resolved configuration, in the order of its keys."""
    text: str = yaml.safe_dump(dict(value), sort_keys=True, allow_unicode=True, default_flow_style=False, width=100)
    return text


def evidence(record: Record) -> str:
    """Where the copy of a record lies in the site."""
    return path_of("records", record.model, record.task).as_posix()


def _three_digits(value: float) -> str:
    return f"{value:.{max(0, 3 - len(str(int(value))))}f}"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(cell_text=cell_text, cell_title=title, evidence=evidence, interval_text=interval_text)
    environment.filters.update(as_yaml=as_yaml, score=score)
    return environment
