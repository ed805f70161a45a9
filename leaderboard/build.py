"""Build the static site: whole or not at all, and the same bytes from the same records."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.records import Record, path_of, read
from leaderboard import bundle, downloads, render
from leaderboard.aggregate import Board, aggregate
from leaderboard.chart import chart
from leaderboard.load import Refusal, load

MARKER = ".zoo-leaderboard"


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Args:
        index: the page to open.
        models: how many rows the table has.
        tasks: how many tasks it has.
        records: how many records went into it.
        refused: files that could not be used.
    """

    index: Path
    models: int
    tasks: int
    records: int
    refused: tuple[Refusal, ...]


def build(results_dir: str | Path, out_dir: str | Path) -> BuildReport:
    """Build the leaderboard of `results_dir` in `out_dir`, in place of an older one.

    Raises:
        ValueError: if there is no usable record, or `out_dir` holds something that is no leaderboard.
        OSError: if a file cannot be read or written; `out_dir` is then as it was.
    """
    results, out = Path(results_dir), Path(out_dir).resolve()
    _check_places(results.resolve(), out)
    loaded = load(results)
    board = aggregate(loaded)
    out.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(out) as folder:
        for name, text in _pages(board).items():
            _write(folder / name, text.encode())
        for record in loaded.records:
            _copy(record, results, folder / "records")
    return BuildReport(out / "index.html", len(board.rows), board.num_tasks, len(loaded.records), loaded.refused)


def _pages(board: Board) -> dict[str, str]:
    """Every file of the site by name, but for the copies of the records."""
    return {
        "index.html": render.index(board, chart(board)),
        "leaderboard.csv": downloads.to_csv(board),
        "leaderboard.json": downloads.to_json(board),
        **{f"models/{row.page}.html": render.model_page(board, row) for row in board.pages},
        **{f"tasks/{column.page}.html": render.task_page(board, column) for column in board.columns if column.task},
        **{f"assets/{name}": text for name, text in bundle.assets().items()},
    }


def _check_places(results: Path, out: Path) -> None:
    if results == out or results in out.parents or out in results.parents:
        raise ValueError(f"--out {out} and --results {results} lie in each other; choose another --out")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise ValueError(f"{out} holds files that no leaderboard build wrote; choose another --out or empty it")


def _copy(record: Record, results: Path, folder: Path) -> None:
    source, copy = (path_of(root, record.model, record.task) for root in (results, folder))
    _write(copy, source.read_bytes())
    if record.examples is not None and source.with_name(record.examples.file).is_file():
        _write(copy.with_name(record.examples.file), source.with_name(record.examples.file).read_bytes())
    if read(copy) != record:
        raise ValueError(f"{source} changed while the site was built; build it again")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A new folder beside `out` that takes its place at the end, or vanishes if something fails."""
    token = secrets.token_hex(4)
    new, old = (out.with_name(f".{out.name}.{token}.{what}") for what in ("new", "old"))
    new.mkdir()
    try:
        _write(new / MARKER, b"Written by `zoo leaderboard build`, which replaces this folder as a whole.\n")
        yield new
        if out.exists():
            out.rename(old)
        try:
            new.rename(out)
        except BaseException:
            if old.exists():
                old.rename(out)
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
