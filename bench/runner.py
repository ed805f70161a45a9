"""Runs tasks on models and writes one record each; what is recorded already is not run again."""

from __future__ import annotations

import logging
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from bench import records
from bench.models.opening import check_precision, kind_of, open_model, split_label
from bench.protocols import Model, NotApplicableError, Task
from bench.records import Evaluation, ModelInfo, Record, TaskInfo
from bench.suites import catalog

Status = Literal["scored", "hit", "not applicable", "failed"]
STATUSES: tuple[Status, ...] = typing.get_args(Status)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """What happened to one model and one task.

    Args:
        model: its name.
        task: name of the task, or empty where the model could not be opened.
        status: `scored` now, `hit` in the results folder, `not applicable`, or `failed`.
        record: of a score.
        reason: why there is none.
    """

    model: str
    task: str
    status: Status
    record: Record | None = None
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """All cells of a run."""

    cells: tuple[Cell, ...]

    @property
    def failed(self) -> tuple[Cell, ...]:
        """Cells without a score that should have one."""
        return tuple(cell for cell in self.cells if cell.status == "failed")


def run(
    models: Sequence[str],
    suites: Sequence[str] = ("pydoc",),
    tasks: Sequence[str] = (),
    results_dir: str | Path = "results",
    *,
    device: str | None = None,
    precision: str = "32-true",
    packages: Sequence[str] | None = None,
    cache_dir: str | None = None,
    progress: bool = True,
    on_cell: Callable[[Cell], None] = lambda _: None,
) -> Report:
    """Score each model on each task and write the records.

    A task that fails is reported with its reason and stops nothing.

    Args:
        models: as `bench.models.opening.open_model` takes them, or `LABEL=NAME` to choose what records call one.
        suites: names of suites.
        tasks: names of single tasks or benchmarks.
        results_dir: where the records go.
        device: such as `cpu` or `cuda`; None picks one.
        precision: `32-true` or `bf16-mixed`.
        packages: that the embedded corpus is made of; None takes its default.
        cache_dir: of the embedded corpus; None takes its default.
        progress: whether to draw progress bars.
        on_cell: called with each cell as soon as it is known.

    Raises:
        ValueError: for a model, suite or task that does not exist, before anything is run.
    """
    check_precision(precision)
    named = [split_label(model) for model in models]
    for _, source in named:
        kind_of(source)
    todo = catalog.build(suites, tasks, packages=packages, cache_dir=cache_dir)
    cells: list[Cell] = []
    with tqdm(total=len(models) * len(todo), unit="task", disable=not progress) as bar:
        for label, source in named:
            opened = partial(open_model, source, device=device, precision=precision)
            for cell in _run_model(opened, label, source, todo, Path(results_dir), bar):
                cells.append(cell)
                on_cell(cell)
    return Report(tuple(cells))


def _run_model(
    opened: Callable[[], Model], label: str | None, source: str, todo: Sequence[Task], results: Path, bar: tqdm[Any]
) -> Iterator[Cell]:
    bar.set_description(f"opening {source}")
    try:
        model = opened()
        name = label or _name_of(model)
    except Exception as error:
        bar.update(len(todo))
        yield _failed(label or source, "", error)
        return
    for task in todo:
        bar.set_description(f"{name}: {task.info.name}")
        yield _run_task(model, name, task, results, progress=not bar.disable)
        bar.update()


def _name_of(model: Model) -> str:
    side = model.encoder or model.searcher or model.language_model
    assert side is not None, "a model can do something"
    return side.describe().name


def _run_task(model: Model, name: str, task: Task, results: Path, *, progress: bool) -> Cell:
    """One cell; whatever goes wrong in it stays in it."""
    try:
        described = replace(task.describe(model), name=name)
        known = recorded(described, task.info, results)
        if known is not None:
            return Cell(name, task.info.name, "hit", known)
        record = _score(model, described, task, progress)
        records.write(record, results)
    except NotApplicableError as reason:
        return Cell(name, task.info.name, "not applicable", reason=str(reason))
    except Exception as error:
        return _failed(name, task.info.name, error)
    return Cell(name, task.info.name, "scored", record)


def recorded(model: ModelInfo, task: TaskInfo, results_dir: str | Path) -> Record | None:
    """The record of the same weights on the same data, or None.

    Raises:
        ValueError: if there is one that is damaged.
    """
    path = records.path_of(results_dir, model.name, model.revision, task.name)
    if not path.exists():
        return None
    record = records.read(path)
    found, wanted = record.task, task
    same_data = (found.revision, found.split, found.subset) == (wanted.revision, wanted.split, wanted.subset)
    return record if same_data and record.model.revision == model.revision else None


def _score(model: Model, described: ModelInfo, task: Task, progress: bool) -> Record:
    from zoo import provenance

    started, clock = datetime.now(UTC), time.perf_counter()
    outcome = task.score(model, progress=progress)
    facts = provenance.environment()
    evaluation = Evaluation(
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        encode_seconds=outcome.encode_seconds,
        texts_encoded=outcome.texts_encoded,
        hardware=facts["hardware"],
        versions=facts["versions"],
        commit=facts["commit"],
        dirty=facts["dirty"],
    )
    return Record(described, outcome.task, outcome.scores, evaluation)


def _failed(model: str, task: str, error: Exception) -> Cell:
    _log.debug("%s on %s", model, task or "opening", exc_info=error)
    text = " ".join(str(error).split())
    known = isinstance(error, ValueError | OSError)
    return Cell(model, task, "failed", reason=text if known else f"{type(error).__name__}: {text}")
