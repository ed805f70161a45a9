"""Per-example values that lie beside a record. NumPy and SciPy only."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.examples import Examples
from bench.records import Record, path_of


def read_examples(record: Record, results_dir: str | Path) -> Examples:
    """The per-example values of `record`, checked against its checksum of them.

    Raises:
        ValueError: with the reason why there are none, or what is wrong with them.
        OSError: if the file cannot be read.
    """
    if record.examples is None:
        reason = record.scores.absent.get("interval", "the record has none")
        raise ValueError(f"no per-example values: {reason}")
    path = path_of(results_dir, record.model, record.task).with_name(record.examples.file)
    if hashlib.sha256(path.read_bytes()).hexdigest() != record.examples.sha256:
        raise ValueError(f"{path} is not the file that its record names; delete both and run `zoo bench run` again")
    return Examples.load(path)
