"""The board as files for programs, in full precision."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

from leaderboard.aggregate import Board


def to_csv(board: Board) -> str:
    """The table: one line a model, one column a task or fact, empty where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "revision", *(column.key for column in board.columns)])
    for row in board.pages:
        values = ("" if cell.value is None else cell.value for cell in row.cells)
        writer.writerow([row.model.name, row.model.revision, *values])
    return text.getvalue()


def to_json(board: Board) -> str:
    """Models with all that their records say, every metric, the suite means, and the refused files."""
    means = [
        (j, column)
        for j, column in enumerate(board.columns)
        if column.better and column.form == "score" and column.task is None
    ]
    models = [
        {
            **dataclasses.asdict(row.model),
            "revision": row.model.revision,
            "means": {column.group: row.cells[j].value for j, column in means},
            "results": [
                {key: value for key, value in dataclasses.asdict(record).items() if key != "model"}
                for record in row.records
            ],
        }
        for row in board.pages
    ]
    body = {"models": models, "refused": [dataclasses.asdict(refusal) for refusal in board.refused]}
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
