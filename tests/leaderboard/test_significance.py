from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.examples import Examples
from bench.records import DataCheck, ExamplesFile, ModelInfo, Record, Scores, examples_path, path_of, write
from bench.statistics.intervals import interval
from leaderboard import render
from leaderboard.aggregate import Board, Row, aggregate
from leaderboard.build import build
from leaderboard.cells import Cell
from leaderboard.load import load

Write = Callable[..., Record]


@pytest.fixture
def scored(tmp_path: Path, make_record: Callable[..., Record]) -> Write:
    """Writes a record with the values of 200 queries beside it."""

    def make(model: ModelInfo, task: str, lift: float, **changes: Any) -> Record:
        noise = np.random.default_rng(len(model.name)).normal(0, 0.01, 200)
        values = Examples.of_values("x", np.linspace(0.2, 0.6, 200) + lift + noise, unit="query")
        found = make_record(model, task, 0.0, **changes)
        beside = examples_path(path_of(tmp_path / "results", found.model, found.task))
        scores = Scores(values.statistic(), {}, interval(values))
        found = replace(found, scores=scores, examples=ExamplesFile(beside.name, values.save(beside), 200))
        write(found, tmp_path / "results")
        return found

    return make


@pytest.fixture
def board(tmp_path: Path, scored: Write, model: Callable[..., ModelInfo]) -> Board:
    """Best and twin cannot be told apart; worst is worse; two seeds of one model; one model is imported."""
    deviating = {"check": DataCheck("deviates", "12 statistics differ")}
    for name, lift in (("best", 0.1), ("its-twin", 0.1), ("the-worst", 0.0)):
        scored(model(name), "PydocRetrieval", lift)
        scored(model(name), "PydocClassification", lift)
        scored(model(name), "SciFact", lift, **deviating)
    for seed in (0, 1):
        seeded = {"config": {"seed_everything": seed, "model": {"class_path": "Seeded"}}}
        scored(model(f"seeded-{seed}", **seeded), "PydocRetrieval", -0.1 + 0.01 * seed)
    scored(model("imported", kind="imported", config=None), "PydocRetrieval", -0.15)
    return aggregate(load(tmp_path / "results"))


def row_of(board: Board, name: str) -> Row:
    return next(row for row in board.rows if row.model.name == name)


def cell(board: Board, name: str, title: str) -> Cell:
    place = next(j for j, column in enumerate(board.columns) if column.title == title)
    return row_of(board, name).cells[place]


def test_models_that_cannot_be_told_apart_share_a_rank(board: Board) -> None:
    ranks = {name: cell(board, name, "PydocRetrieval").rank for name in ("best", "its-twin", "the-worst", "imported")}
    assert ranks == {"best": 1, "its-twin": 1, "the-worst": 3, "imported": 4}
    assert cell(board, "seeded-0", "PydocRetrieval").rank == 1, "two seeds prove next to nothing"


def test_all_that_cannot_be_told_from_the_best_is_marked_with_it(board: Board) -> None:
    assert [cell(board, name, "PydocRetrieval").best for name in ("best", "its-twin", "the-worst")] == [
        True,
        True,
        False,
    ]


def test_ranks_of_means(board: Board) -> None:
    assert [cell(board, name, "Rank").value for name in ("best", "its-twin", "the-worst")] == [1, 1, 3]
    assert cell(board, "imported", "Rank").value is None


def test_seeds_are_one_row_with_a_page_each(board: Board, parse: Callable[[str], Any]) -> None:
    row = row_of(board, "seeded-0")
    assert [seed.model.name for seed in row.seeds] == ["seeded-0", "seeded-1"]
    found = cell(board, "seeded-0", "PydocRetrieval")
    mean = np.mean([record.scores.main for record in row.records])
    assert found.value == pytest.approx(mean)
    assert found.note.startswith("mean of 2 seeds, standard deviation 0.00")
    assert {page.model.name for page in board.pages} >= {"seeded-0", "seeded-1"}
    page = parse(render.model_page(board, row.seeds[0]))
    assert f"{row.seeds[1].page}.html" in page.attributes("href")


def test_marks_and_intervals_are_on_the_pages(board: Board, parse: Callable[[str], Any]) -> None:
    html = render.index(board, None)
    assert html.count("not the official data: 12 statistics differ") == 1
    assert html.count("imported: scored elsewhere") == 1
    assert "95% interval" in html
    page = parse(render.model_page(board, row_of(board, "best")))
    flat = [" ".join(cells) for cells in page.rows]
    shown = render.interval_text(cell(board, "best", "PydocRetrieval").interval)
    assert any(line.startswith("PydocRetrieval") and shown in line for line in flat)
    assert "Not the official data: 12 statistics differ" in page.text


def test_task_page_lists_models_best_first(board: Board, parse: Callable[[str], Any]) -> None:
    column = next(column for column in board.columns if column.title == "PydocRetrieval")
    _, *rows = parse(render.task_page(board, column)).rows
    assert {rows[0][1], rows[1][1]} == {"best", "its-twin"}
    assert [line[0] for line in rows] == ["1", "1", "3", "1", "4"]
    assert rows[-1][1] == "imported"


def test_files_of_examples_are_copied_and_a_damaged_one_has_no_rank(
    board: Board, tmp_path: Path, scored: Write
) -> None:
    row = row_of(board, "best")
    build(tmp_path / "results", tmp_path / "site")
    copies = list((tmp_path / "site" / "records").rglob("*.examples.npz"))
    assert len(copies) == sum(len(page.records) for page in board.pages)
    record = next(r for r in row.records if r.task.name == "PydocRetrieval")
    beside = examples_path(path_of(tmp_path / "results", record.model, record.task))
    beside.write_bytes(beside.read_bytes()[:-20])
    again = aggregate(load(tmp_path / "results"))
    assert cell(again, "best", "PydocRetrieval").rank is None
    assert cell(again, "its-twin", "PydocRetrieval").rank == 1
    assert cell(again, "best", "PydocRetrieval").value is not None


def test_nothing_is_tested_without_the_files(sample: list[Record], tmp_path: Path) -> None:
    for record in sample:
        write(record, tmp_path / "results")
    board = aggregate(load(tmp_path / "results"))
    assert all(cell.rank is None for row in board.rows for cell in row.cells)
    assert "Rank" not in [column.title for column in board.columns]


def test_values_of_other_queries_are_not_tested(
    board: Board, tmp_path: Path, scored: Write, model: Callable[..., ModelInfo]
) -> None:
    found = scored(model("other-queries"), "PydocRetrieval", 0.3)
    beside = examples_path(path_of(tmp_path / "results", found.model, found.task))
    values = Examples.of_values("x", np.linspace(0, 1, 200), unit="query", ids=[f"q{i}" for i in range(200)])
    write(replace(found, examples=ExamplesFile(beside.name, values.save(beside), 200)), tmp_path / "results")
    again = aggregate(load(tmp_path / "results"))
    assert cell(again, "other-queries", "PydocRetrieval").rank is None
    assert cell(again, "best", "PydocRetrieval").rank == 1
