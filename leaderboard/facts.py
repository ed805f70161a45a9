"""Columns that say what a model is and what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bench.records import ModelInfo, Record
from leaderboard.cells import Cell, Column

COSTS = ("parameters", "vocabulary_parameters", "bytes", "encode_seconds_per_1000_texts")

COLUMNS = (
    Column("parameters", "Parameters", "Cost", "", "trainable numbers", "count"),
    Column("embedding_parameters", "of which embedding", "Cost", "", "those of the token embedding", "count"),
    Column(
        "vocabulary_parameters",
        "Vocabulary parameters",
        "Cost",
        "",
        "those of the token embedding and of the output head, a shared table counted once",
        "count",
    ),
    Column("bytes", "Memory", "Cost", "", "bytes of parameters and buffers", "bytes"),
    Column("dim", "Dim", "Cost", "", "width of the vectors", "count"),
    Column(
        "encode_seconds_per_1000_texts",
        "Encoding",
        "Cost",
        "s per 1,000 texts",
        "time inside the model over all its tasks, on the hardware named on the model's page",
        "seconds",
    ),
    Column("tokens_seen", "Tokens seen", "Cost", "", "tokens of training", "count"),
    Column("training_seconds", "Training", "Cost", "s", "wall time of training", "seconds"),
    Column(
        "tokens_per_second",
        "Training speed",
        "Cost",
        "tokens/s",
        "median over the training run, on the hardware named on the model's page",
        "count",
    ),
    Column("kind", "Kind", "Choices", "", "how the model was opened", "text"),
    Column("objective", "Objective", "Choices", "", "training objective", "text"),
    Column("embedding", "Embedding", "Choices", "", "token embedding", "text"),
    Column("encoder", "Encoder", "Choices", "", "body of the model", "text"),
    Column("head", "Head", "Choices", "", "output head", "text"),
    Column("optimizer", "Optimizer", "Choices", "", "optimizer of the training run", "text"),
    Column("schedule", "Schedule", "Choices", "", "learning rate over the training run", "text"),
    Column("data", "Data", "Choices", "", "training data", "text"),
)


def cells(model: ModelInfo, records: Sequence[Record]) -> list[Cell]:
    """The values of `COLUMNS` for one model."""
    parameters, training = model.parameters, model.training or {}
    axes = dataclasses.asdict(model.axes) if model.axes else {}
    values: dict[str, object] = {
        "parameters": parameters.total if parameters else None,
        "embedding_parameters": parameters.embedding if parameters else None,
        "vocabulary_parameters": parameters.embedding + parameters.head if parameters else None,
        "bytes": model.bytes,
        "dim": model.dim,
        "encode_seconds_per_1000_texts": encode_seconds(records),
        "tokens_seen": training.get("tokens_seen"),
        "training_seconds": training.get("seconds"),
        "tokens_per_second": training.get("tokens_per_second"),
        "kind": model.kind,
        **axes,
    }
    return [_cell(model, column, values.get(column.key)) for column in COLUMNS]


def encode_seconds(records: Sequence[Record]) -> float | None:
    """Seconds inside the model per 1,000 texts, over all tasks that encoded any; None if none did."""
    texts = sum(record.evaluation.texts_encoded for record in records)
    seconds = sum(record.evaluation.encode_seconds for record in records if record.evaluation.texts_encoded)
    return 1000 * seconds / texts if texts else None


def _cell(model: ModelInfo, column: Column, value: object) -> Cell:
    wanted = str if column.form == "text" else (int, float)
    if isinstance(value, wanted) and not isinstance(value, bool):
        return Cell(value)
    reason = _inapplicable(model, column)
    return Cell(None, f"not applicable: {reason}", applicable=False) if reason else Cell(None, "not recorded")


def _inapplicable(model: ModelInfo, column: Column) -> str:
    if column.group == "Choices":
        return "not chosen here" if model.axes is None else "this model has none"
    if column.key in ("tokens_seen", "training_seconds", "tokens_per_second") and model.kind != "zoo":
        return "not trained here"
    if column.key in ("parameters", "embedding_parameters", "vocabulary_parameters", "dim") and model.kind == "lexical":
        return "a lexical index has no weights"
    return ""
