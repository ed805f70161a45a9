"""Test predictions in the form that gluebenchmark.com takes: one tab-separated file a test split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.glue.data import Rows
from bench.glue.fine_tuning import Logits, answers
from bench.glue.specs import GlueSpec
from zoo.data.cache import atomic_path

_HEADER = "index\tprediction"
_STSB = (0.0, 5.0)


def write(path: Path, spec: GlueSpec, rows: Rows, logits: Logits) -> None:
    """Write the predictions of a test split, whole or not at all.

    A line is the number of the row and what is predicted: the word of the class where the task has words, its number
    where not, and a score between 0 and 5 for a regression.

    Args:
        path: such as `CoLA.tsv`.
        spec: of the task.
        rows: of the test split.
        logits: of its rows.

    Raises:
        ValueError: if the rows are not numbered 0 to n - 1, so that nobody could tell which prediction is whose.
        OSError: if the file cannot be written.
    """
    order = np.argsort(rows.ids, kind="stable")
    if not np.array_equal(rows.ids[order], np.arange(len(rows))):
        raise ValueError(f"{path.name}: the test rows of {spec.name} are not numbered 0 to {len(rows) - 1}")
    given = answers(spec, logits)[order].tolist()
    lines = [f"{index}\t{_text(spec, value)}" for index, value in enumerate(given)]
    with atomic_path(path) as partial:
        partial.write_text("\n".join([_HEADER, *lines, ""]), encoding="utf-8")


def _text(spec: GlueSpec, value: float) -> str:
    if spec.num_labels == 1:
        return f"{min(max(value, _STSB[0]), _STSB[1]):.3f}"
    return spec.labels[int(value)] if spec.labels else str(int(value))
