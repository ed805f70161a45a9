"""Whether a score is recorded already, and if not, what has changed since one like it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench import records
from bench.records import ModelInfo, Record, TaskInfo
from bench.records.files import slug


@dataclass(frozen=True)
class Found:
    """A record of exactly this, or why there is none.

    Args:
        record: of the same weights, data and scoring.
        reason: what differs from the record that comes nearest; empty where there is none of this name and task.
    """

    record: Record | None
    reason: str = ""


def find(model: ModelInfo, task: TaskInfo, results: Path) -> Found:
    """The record of `model` on `task`.

    Raises:
        ValueError: if there is one that is damaged.
    """
    path = records.path_of(results, model, task)
    if path.exists():
        record = records.read(path)
        if record.model.revision == model.revision and record.task.parts == task.parts:
            return Found(record)
        return Found(None, _changes(record, model, task))
    near = [_changes(record, model, task) for record in _siblings(model, task, results)]
    return Found(None, min(near, key=len) if near else "")


def _siblings(model: ModelInfo, task: TaskInfo, results: Path) -> list[Record]:
    found = []
    for path in sorted((results / slug(model.name)).glob(f"*/{slug(task.name)}.*.json")):
        try:
            found.append(records.read(path))
        except (OSError, ValueError):  # it is no hit either way; status and the board name damaged files
            continue
    return found


def _changes(record: Record, model: ModelInfo, task: TaskInfo) -> str:
    changed = [f"model's {part}" for part in records.differences(record.model.parts, model.parts)]
    changed += [f"task's {part}" for part in records.differences(record.task.parts, task.parts)]
    return "changed since it was scored: " + ", ".join(changed)
