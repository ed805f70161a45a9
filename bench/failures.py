"""Why a cell has no score, kept beside the records so that `status` can say it later. Standard library only.

A cell that failed should have a score; one that is not applicable cannot have one.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from bench.records import ModelInfo
from bench.records.files import FAILURE_SUFFIX, folder_of, replace, scan, slug

UNOPENED = "unopened"

State = Literal["failed", "not applicable"]


@dataclass(frozen=True)
class Failure:
    """Why one model has no score on one task.

    Args:
        model: its name.
        revision: its first 12 digits, or `unopened` where the model could not be opened.
        task: name of the task.
        state: `failed` or `not applicable`.
        reason: one line.
        when: ISO 8601 with an offset from UTC.
    """

    model: str
    revision: str
    task: str
    state: State
    reason: str
    when: str


def note(results: Path, name: str, model: ModelInfo | None, task: str, reason: str, state: State = "failed") -> None:
    """Keep why `task` has no score; a results folder that cannot be written has its own error already."""
    folder = Path(results) / slug(name) / UNOPENED if model is None else folder_of(results, model)
    failure = Failure(name, folder.name, task, state, reason, datetime.now(UTC).isoformat(timespec="seconds"))
    with contextlib.suppress(OSError):
        replace(folder / f"{slug(task)}{FAILURE_SUFFIX}", json.dumps(asdict(failure), indent=1, ensure_ascii=False))


def clear(results: Path, model: ModelInfo, task: str) -> None:
    """Forget the failures of a cell that is done."""
    for folder in (folder_of(results, model), Path(results) / slug(model.name) / UNOPENED):
        with contextlib.suppress(OSError):
            (folder / f"{slug(task)}{FAILURE_SUFFIX}").unlink()


def load_all(results: Path) -> list[Failure]:
    """Every failure below `results`, sorted by model, revision and task; unreadable files are left out."""
    found = []
    for path in sorted(file.path for file in scan(results) if file.name.endswith(FAILURE_SUFFIX)):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found.append(Failure(**json.loads(Path(path).read_bytes())))
    return found
