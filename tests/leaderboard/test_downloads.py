from __future__ import annotations

import csv
import dataclasses
import io
import json

from bench.records import Record
from leaderboard.aggregate import Board
from leaderboard.downloads import to_csv, to_json


def test_csv_holds_every_main_score_in_full(board: Board, sample: list[Record]) -> None:
    lines = {(line["model"], line["revision"]): line for line in csv.DictReader(io.StringIO(to_csv(board)))}
    assert len(lines) == len(board.rows)
    found = 0
    for record in sample:
        line = lines[record.model.name, record.model.revision]
        key = f"{record.task.suite}/{record.task.name} [{record.task.metric}]"
        assert float(line[key]) == record.scores.main
        found += 1
    scores = [v for line in lines.values() for k, v in line.items() if k.endswith("]") and v != ""]
    assert len(scores) == found, "a missing score must be an empty field"


def test_json_holds_every_record_in_full(board: Board, sample: list[Record]) -> None:
    site = json.loads(to_json(board))
    found = []
    for model in site["models"]:
        means, results = model.pop("means"), model.pop("results")
        assert set(means) == {"pydoc"}
        found += [{"model": model, **result} for result in results]
    wanted = [json.loads(json.dumps(dataclasses.asdict(record))) for record in sample]
    for record, body in zip(sample, wanted, strict=True):
        body["model"]["revision"] = record.model.revision
    assert sorted(map(repr, map(_sorted, found))) == sorted(map(repr, map(_sorted, wanted)))
    assert site["refused"] == [{"file": "a/b/<i>.json", "reason": "cut off"}]


def _sorted(value: object) -> object:
    return json.dumps(value, sort_keys=True)
