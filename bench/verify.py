"""Makes a recorded number again, from the weights and the data, with nothing taken from a cache."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import records
from bench.embedding import Embedder
from bench.models.opening import open_model
from bench.parallel import ALONE
from bench.protocols import Context, NotApplicableError
from bench.records import Record
from bench.suites import catalog
from bench.suites.catalog import Sources

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "bfloat16-true": "bf16-true"}
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Verdict:
    """A recorded number and the same one made again.

    Args:
        record: as it was.
        again: the main score now.
        changed: parts of the model or the data that are not those of the record.
    """

    record: Record
    again: float
    changed: tuple[str, ...]

    @property
    def difference(self) -> float:
        """New minus recorded."""
        return self.again - self.record.scores.main

    @property
    def holds(self) -> bool:
        """Whether nothing changed and the number is the same, or lies in the interval of the recorded one."""
        interval = self.record.scores.interval
        inside = interval is not None and interval.low <= self.again <= interval.high
        return not self.changed and (inside or abs(self.difference) <= TOLERANCE)


def verify(
    path: str | Path, model: str | None = None, *, device: str | None = None, sources: Sources | None = None
) -> Verdict:
    """Score the model of a record on its task again.

    Args:
        path: of the record.
        model: where the model lies; None takes the hub name in the record.
        device: such as `cpu` or `cuda`; None picks one.
        sources: where the data comes from.

    Raises:
        ValueError: if the record is damaged, or names no model that can be opened.
    """
    record = records.read(path)
    source = model or record.model.source or (record.model.name if record.model.kind == "lexical" else None)
    if source is None:
        raise ValueError(f"{path}: was made from local files; say where they are with --model")
    opened = open_model(source, device=device, precision=PRECISIONS.get(record.model.dtype, "32-true"))
    task = catalog.again(record.task, sources)
    try:
        described = task.describe(opened)
        task.prepare()
        embedder = None if opened.encoder is None else Embedder(opened.encoder)
        with tempfile.TemporaryDirectory() as scratch:  # what a task keeps beside its records must not be found
            outcome = task.score(opened, Context(None, Path(scratch), ALONE, embedder, progress=False))
    except NotApplicableError as reason:
        raise ValueError(f"{path}: {source} cannot be scored on {record.task.name}: {reason}") from reason
    changed = [f"model's {part}" for part in records.differences(record.model.parts, described.parts)]
    changed += [f"task's {part}" for part in records.differences(record.task.parts, outcome.task.parts)]
    return Verdict(record, outcome.scores.main, tuple(changed))
