from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from leaderboard import render
from leaderboard.aggregate import Board, aggregate
from leaderboard.cells import Cell, Column
from leaderboard.chart import chart
from leaderboard.load import Results

Parse = Callable[[str], Any]


@pytest.fixture(scope="module")
def html(board: Board) -> str:
    return render.index(board, chart(board))


def test_table_is_whole_without_scripts(html: str, board: Board, parse: Parse) -> None:
    groups, titles, *rows = parse(html).rows
    assert groups == ["Model", "pydoc", "lm", "mteb", "Cost", "Choices"]
    assert titles[:2] == ["Mean of 2 tasks ↑", "PydocClassification accuracy ↑"]
    assert titles[2:4] == ["PydocRetrieval ndcg_at_10 ↑", "PydocBits bits_per_byte ↓"]
    assert len(rows) == len(board.rows)
    assert all(len(row) == 1 + len(board.columns) for row in rows)
    full = next(row for row in rows if row[0].startswith("full"))
    assert full[1:6] == ["0.5562", "0.5000", "0.6123", "1.2500", "0.0000"]
    bm25 = next(row for row in rows if row[0].startswith("bm25"))
    assert bm25[1:7] == ["—", "n/a", "0.7000", "n/a", "—", "n/a"]


def test_best_is_marked_by_more_than_a_colour(html: str) -> None:
    assert re.findall(r'<td class="num best"[^>]*><strong>([\d.]+)</strong>', html).count("0.7000") == 3


def test_short_revision_tells_twins_apart(html: str, board: Board) -> None:
    for row in board.rows:
        assert f">{row.model.revision[:8]}</small>" in html


def test_refused_files_are_on_the_page(html: str) -> None:
    assert "<code>a/b/&lt;i&gt;.json</code>: cut off" in html


def test_nothing_from_a_record_becomes_markup(html: str, board: Board, parse: Parse, evil: str) -> None:
    pages = [html, *(render.model_page(board, row) for row in board.rows)]
    for text in pages:
        tags = parse(text).tags
        assert "img" not in {tag for tag, _ in tags}
        assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
        scripts = [attrs for tag, attrs in tags if tag == "script"]
        assert all("src" in attrs or attrs["type"] == "application/json" for attrs in scripts)
    assert evil in parse(html).text


def test_model_page_tells_everything(board: Board, parse: Parse) -> None:
    row = next(row for row in board.rows if row.label == "full")
    page = parse(render.model_page(board, row))
    flat = [" ".join(cells) for cells in page.rows]
    assert "map_at_10 0.20411522630041148" in flat, "every metric in full"
    assert any(line.startswith("ndcg_at_10 main score") and "0.6123456789012345" in line for line in flat)
    for wanted in ("c0ffee", "abc123", "2.13.0", "Test CPU", row.model.revision, "class_path: MaskedLM", "tokens_seen"):
        assert wanted in page.text
    assert "uncommitted changes:" not in page.text
    assert render.evidence(row.records[0]).startswith(f"records/full/{row.model.revision[:12]}/")
    assert f"../{render.evidence(row.records[0])}" in page.attributes("href")


def test_dirty_checkout_is_a_warning(board: Board) -> None:
    row = board.rows[0]
    dirty = replace(row, model=replace(row.model, training={"dirty": True}))
    assert "Trained from a checkout with uncommitted changes" in render.model_page(board, dirty)
    record = replace(row.records[0], evaluation=replace(row.records[0].evaluation, dirty=True))
    assert "Scored from a checkout with uncommitted changes" in render.model_page(
        board, replace(row, records=(record,))
    )


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        ("count", 9_999, "9,999"),
        ("count", 999_999, "1.00 M"),
        ("bytes", 1_000, "1.00 kB"),
        ("score", 1234.5, "1,234.50"),
    ],
)
def test_numbers_for_people(form: Any, value: float, text: str) -> None:
    assert render.cell_text(Column("k", "t", "g", "", "", form), Cell(value)) == text


def test_missing_and_inapplicable_differ() -> None:
    column = Column("k", "t", "g", "", "", "score")
    assert render.cell_text(column, Cell(None)) == "—"
    assert render.cell_text(column, Cell(None, applicable=False)) == "n/a"
    assert render.cell_text(column, Cell(0.0)) == "0.0000"


def test_task_page_shows_other_scores_that_have_an_interval(make_record: Callable[..., Any], parse: Parse) -> None:
    record = make_record("full", "PydocBits", 1.25)
    errors = {"error_at_20": 0.4, "error_at_5": 0.5, "error_at_5/low": 0.45, "error_at_5/high": 0.55}
    ends = {"error_at_20/low": 0.3, "error_at_20/high": 0.6}
    record = replace(record, scores=replace(record.scores, all={**record.scores.all, **errors, **ends}))
    other = make_record("tied", "PydocBits", 1.5)
    board = aggregate(Results((record, other), (), None))
    column = next(column for column in board.columns if column.task == record.task)
    page = parse(render.task_page(board, column))
    head, first, second = page.rows
    assert head[4:] == ["error_at_5", "error_at_20", "Note"]
    assert first[4:6] == ["0.5000", "0.4000"]
    assert second[4:6] == ["—", "—"]
    assert "0.4500 to 0.5500" in page.attributes("title")


def test_other_scores_of_seeds_are_means(
    make_record: Callable[..., Any], model: Callable[..., Any], parse: Parse
) -> None:
    records = []
    for seed, error in ((1, 0.4), (2, 0.6)):
        known = replace(model("full", seed), config={"seed_everything": seed})
        record = make_record(known, "PydocBits", 1.25)
        more = {"error_at_5": error, "error_at_5/low": error - 0.1, "error_at_5/high": error + 0.1}
        records.append(replace(record, scores=replace(record.scores, all={**record.scores.all, **more})))
    board = aggregate(Results(tuple(records), (), None))
    column = next(column for column in board.columns if column.task == records[0].task)
    page = parse(render.task_page(board, column))
    assert [row[4] for row in page.rows] == ["error_at_5", "0.5000"]
    assert "mean of 2 seeds" in page.attributes("title")
