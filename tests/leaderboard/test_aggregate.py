from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean

import pytest

from bench.records import ModelInfo, Record, Scores
from leaderboard.aggregate import Board, aggregate, has_mean
from leaderboard.cells import Cell
from leaderboard.load import Results

MakeRecord = Callable[..., Record]


def cell(board: Board, model: str, key: str) -> Cell:
    row = next(row for row in board.rows if row.label == model)
    return next(c for column, c in zip(board.columns, row.cells, strict=True) if column.key.startswith(key))


def make_board(*records: Record) -> Board:
    return aggregate(Results(records, ()))


def test_columns_are_suites_with_the_most_scores_first_then_cost_and_choices(board: Board) -> None:
    assert board.groups == [("pydoc", 3), ("lm", 1), ("mteb", 1), ("Cost", 9), ("Choices", 8)]
    titles = [column.title for column in board.columns[:5]]
    assert titles == ["Mean", "PydocClassification", "PydocRetrieval", "PydocBits", "SciFact"]
    assert [c.better for c in board.columns[:5]] == ["higher", "higher", "higher", "lower", "higher"]
    assert board.num_tasks == 4


def test_scores_are_the_records_in_full_precision(board: Board) -> None:
    assert cell(board, "full", "pydoc/PydocRetrieval").value == 0.6123456789012345


def test_a_score_of_zero_is_a_score_and_a_missing_one_is_not_zero(board: Board) -> None:
    assert cell(board, "full", "mteb/SciFact").value == 0.0
    missing = cell(board, "tied", "mteb/SciFact")
    assert (missing.value, missing.note, missing.applicable) == (None, "not scored", True)


def test_mean_is_only_for_models_with_every_task_of_the_suite(board: Board) -> None:
    assert cell(board, "full", "pydoc/mean").value == fmean([0.6123456789012345, 0.5])
    lacking = cell(board, "bm25", "pydoc/mean")
    assert lacking.value is None
    assert lacking.note == "no mean: 1 of 2 tasks scored, without PydocClassification"


def test_no_mean_of_losses_or_of_one_task(sample: list[Record]) -> None:
    bits = next(record.task for record in sample if record.task.suite == "lm")
    assert not has_mean([bits, replace(bits, name="Perplexity")])
    assert not has_mean([sample[0].task])
    assert has_mean([sample[0].task, sample[1].task])


def test_what_cannot_be_scored_is_not_applicable(
    board: Board, make_record: MakeRecord, model: Callable[..., ModelInfo]
) -> None:
    assert not cell(board, "bm25", "pydoc/PydocClassification").applicable
    assert not cell(board, "bm25", "lm/PydocBits").applicable
    assert not cell(board, "bm25", "parameters").applicable
    assert not cell(board, "bm25", "embedding").applicable
    assert not cell(board, "bm25", "tokens_seen").applicable
    assert cell(board, "bm25", "mteb/SciFact").applicable
    external = model("external", kind="sentence-transformers", axes=None, training=None, parameters=None)
    board = make_board(make_record(external, "SciFact", 0.5), make_record("full", "PydocBits", 1.0))
    assert not cell(board, "external", "lm/PydocBits").applicable
    assert cell(board, "external", "parameters") == Cell(None, "not recorded")


@pytest.mark.parametrize("suite", ["geometry", "words"])
def test_a_model_without_a_head_has_no_output_table(
    suite: str, make_record: MakeRecord, model: Callable[..., ModelInfo]
) -> None:
    external = model("external", kind="sentence-transformers", axes=None)
    scored = [make_record("full", "SciFact", 0.5, suite=suite, subset=side, name=side) for side in ("input", "output")]
    board = make_board(*scored, make_record(external, "SciFact", 0.5))
    assert cell(board, "external", f"{suite}/input").applicable
    missing = cell(board, "external", f"{suite}/output")
    assert (missing.applicable, missing.note[:14]) == (False, "not applicable")
    assert "no output table" in missing.note


def test_best_is_marked_both_ways_with_ties(board: Board) -> None:
    def best(key: str) -> set[str]:
        return {row.label[:4] for row in board.rows if cell(board, row.label, key).best}

    assert best("pydoc/PydocRetrieval") == {"bm25"}
    assert best("pydoc/PydocClassification") == {"tied", "</sc"}
    assert best("lm/PydocBits") == {"full"}
    assert best("mteb/SciFact") == set(), "one value alone is no best"
    assert best("parameters") == set()


def test_rows_are_best_first_and_missing_last(board: Board) -> None:
    assert [row.label.split(" @")[0] for row in board.rows][:2] == ["full", "tied"]
    assert all(row.cells[0].value is None for row in board.rows[2:])


def test_two_revisions_of_a_name_are_two_rows_with_their_own_pages(board: Board) -> None:
    twins = [row for row in board.rows if row.model.name == "twin"]
    assert len({row.model.revision for row in twins}) == 2
    assert [row.label for row in twins] == [f"twin @ {row.model.revision[:8]}" for row in twins]
    assert len({row.page for row in board.rows}) == len(board.rows)


@pytest.mark.parametrize("name", ["../../etc/passwd", "<script>", "CON", "a/b", "ü" * 300, "..."])
def test_pages_have_harmless_names(name: str, make_record: MakeRecord, model: Callable[..., ModelInfo]) -> None:
    page = make_board(make_record(model(name), "SciFact", 0.5)).rows[0].page
    assert page.replace("-", "").isascii()
    assert page.replace("-", "").isalnum()
    assert len(page) < 80


def test_tasks_on_different_data_are_different_columns(make_record: MakeRecord) -> None:
    board = make_board(
        make_record("full", "SciFact", 0.5, revision="a" * 40), make_record("tied", "SciFact", 0.6, revision="b" * 40)
    )
    columns = [column for column in board.columns if column.group == "mteb" and column.task]
    assert len({column.key for column in columns}) == 2
    assert all(sum(row.cells[board.columns.index(c)].value is not None for row in board.rows) == 1 for c in columns)


def test_order_of_records_does_not_matter(sample: list[Record]) -> None:
    assert make_board(*sample) == make_board(*reversed(sample))


def test_facts_come_from_the_latest_record(make_record: MakeRecord, model: Callable[..., ModelInfo]) -> None:
    old = make_record(model("m", bytes=1), "SciFact", 0.5)
    new = make_record(model("m", bytes=2), "PydocBits", 0.5)
    # As text the older one is the greater: the time zones differ.
    old = replace(old, evaluation=replace(old.evaluation, started="2026-01-01T12:00:00+09:00"))
    new = replace(new, evaluation=replace(new.evaluation, started="2026-01-01T11:00:00+00:00"))
    assert cell(make_board(old, new), "m", "bytes").value == 2


def test_encoding_time_leaves_out_tasks_that_encoded_nothing(make_record: MakeRecord) -> None:
    one, two = make_record("m", "SciFact", 0.5), make_record("m", "PydocRetrieval", 0.5)
    two = replace(two, evaluation=replace(two.evaluation, texts_encoded=0, encode_seconds=99.0))
    assert cell(make_board(one, two), "m", "encode_seconds").value == 1000 * 2.0 / 500
    assert cell(make_board(two), "m", "encode_seconds").value is None


def test_integer_scores_count(make_record: MakeRecord) -> None:
    record = replace(make_record("m", "SciFact", 0.5), scores=Scores(1, {}))
    assert cell(make_board(record), "m", "mteb/SciFact").value == 1.0
