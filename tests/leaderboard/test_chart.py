from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

from bench.records import ModelInfo, Record
from leaderboard.aggregate import Board, aggregate
from leaderboard.chart import chart, shown
from leaderboard.load import Results


def test_points_are_the_cells_and_missing_ones_are_not_drawn(board: Board) -> None:
    drawn = chart(board)
    assert drawn is not None
    assert drawn.scores[drawn.score] == "pydoc: Mean, of 2 tasks ↑"
    assert drawn.costs == ["Parameters", "Vocabulary parameters", "Memory", "Encoding (s per 1,000 texts)"]
    assert [point["model"] for point in drawn.spec["data"]["values"]] == ["full", "tied"]
    assert len(drawn.points) == len(board.rows)
    bits = drawn.scores.index("lm: PydocBits, bits_per_byte ↓")
    assert [point["score"] for point in shown(drawn.points, 0, bits)] == [1.25, 1.5]


def test_spec_is_the_same_every_time_and_names_no_address(board: Board) -> None:
    first, second = chart(board), chart(board)
    assert first is not None
    assert second is not None
    assert json.dumps(first.to_json()) == json.dumps(second.to_json())
    assert "://" not in json.dumps(first.spec)


def test_svg_is_well_formed_and_escaped(make_record: Callable[..., Record], evil: str) -> None:
    drawn = chart(aggregate(Results((make_record(evil, "SciFact", 0.5),), ())))
    assert drawn is not None
    svg = drawn.to_svg()
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
    assert tags <= {"svg", "rect", "g", "path", "line", "text", "defs", "clipPath"}
    assert "<script" not in svg
    assert svg == drawn.to_svg()


def test_no_chart_without_a_cost(make_record: Callable[..., Record], model: Callable[..., ModelInfo]) -> None:
    record = make_record(model("m", parameters=None, bytes=0), "SciFact", 0.5)
    idle = replace(record, evaluation=replace(record.evaluation, texts_encoded=0))
    assert chart(aggregate(Results((idle,), ()))) is None


def test_tables_with_codes_are_told_apart_by_them(
    make_record: Callable[..., Record], model: Callable[..., ModelInfo]
) -> None:
    coded = model("coded", training={"embedding": {"codes": "PQCodes"}})
    assert coded.axes is not None
    drawn = chart(aggregate(Results((make_record(coded, "SciFact", 0.5),), ())))
    assert drawn is not None
    assert [point["group"] for point in drawn.points] == [f"{coded.axes.embedding}, PQCodes"]
