"""Runs tasks on models and writes one record each; what is recorded already is not run again.

In a run of several processes every process runs all of this: they share the encoding of texts, and each scores for
itself, so that no process waits for another but at the end of an encoding. The first one alone writes.
"""

from __future__ import annotations

import logging
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from bench import failures, lookup, parallel, records
from bench.embedding import Embedder
from bench.models.opening import check_precision, kind_of, open_model, split_label
from bench.prefetch import Prefetch
from bench.protocols import Context, Model, NotApplicableError, Outcome, Task
from bench.records import Evaluation, ExamplesFile, ModelInfo, Record
from bench.suites import catalog
from bench.suites.catalog import Sources

Status = Literal["scored", "hit", "not applicable", "failed"]
STATUSES: tuple[Status, ...] = typing.get_args(Status)

MEASURES_TIME = frozenset({"efficiency"})  # nothing else may run beside these

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """What happened to one model and one task.

    Args:
        model: its name.
        task: name of the task.
        status: `scored` now, `hit` in the results folder, `not applicable`, or `failed`.
        record: of a score.
        reason: why there is none, or why an older record of this name was no hit.
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


@dataclass(frozen=True)
class Settings:
    """How a run is done; nothing here changes a score but `precision`, which the model's revision contains.

    Args:
        device: such as `cpu` or `cuda`; None picks one.
        precision: `32-true`, `bf16-mixed` or `bf16-true`.
        faiss: whether documents are searched with faiss.
        cache_dir: root of the caches; None takes `ZOO_CACHE` or the user's cache folder.
        workers: the processes that compute together.
        progress: whether to draw progress bars.
        on_cell: called with each cell as soon as it is known, in the first process.
    """

    device: str | None = None
    precision: str = "32-true"
    faiss: bool = False
    cache_dir: str | None = None
    workers: parallel.Workers = parallel.ALONE
    progress: bool = True
    on_cell: Callable[[Cell], None] = field(default=lambda _: None)


def run(
    models: Sequence[str],
    suites: Sequence[str] = ("pydoc",),
    tasks: Sequence[str] = (),
    results_dir: str | Path = "results",
    *,
    sources: Sources | None = None,
    settings: Settings | None = None,
) -> Report:
    """Score each model on each task and write the records.

    A task that fails is reported with its reason and stops nothing.

    Args:
        models: as `bench.models.opening.open_model` takes them, or `LABEL=NAME` to choose what records call one.
        suites: names of suites.
        tasks: names of single tasks or benchmarks.
        results_dir: where the records go.
        sources: where the data comes from.
        settings: how it is done.

    Raises:
        ValueError: for a model, suite or task that does not exist, before anything is run.
    """
    settings = settings or Settings()
    check_precision(settings.precision)
    named = [split_label(model) for model in models]
    for _, source in named:
        kind_of(source)
    todo = catalog.build(suites, tasks, sources)
    cells: list[Cell] = []
    with tqdm(total=len(models) * len(todo), unit="task", disable=not settings.progress) as bar:
        for label, source in named:
            opened = partial(
                open_model, source, device=settings.device or settings.workers.device, precision=settings.precision
            )
            for cell in _ModelRun(settings, Path(results_dir), bar).run(opened, label, source, todo):
                cells.append(cell)
                if settings.workers.rank == 0:
                    settings.on_cell(cell)
    return Report(tuple(cells))


class _ModelRun:
    """All tasks of one model."""

    def __init__(self, settings: Settings, results: Path, bar: tqdm[Any]) -> None:
        self._settings = settings
        self._workers = settings.workers
        self._results = results
        self._bar = bar

    def run(self, opened: Callable[[], Model], label: str | None, source: str, todo: Sequence[Task]) -> Iterator[Cell]:
        """Cells in the order of `todo`."""
        self._bar.set_description(f"opening {source}")
        try:
            model = self._together(opened)
        except Exception as error:
            self._bar.update(len(todo))
            yield from (self._failed(label or source, None, task.info.name, error) for task in todo)
            return
        context = self._context(model)
        prefetch = Prefetch(todo, lambda task: self._needs_data(model, label, task))
        for number, task in enumerate(todo):
            if task.info.suite not in MEASURES_TIME:
                prefetch.start(number + 1)
            yield self._cell(model, label, task, context)
            task.release()
            self._bar.update()

    def _needs_data(self, model: Model, label: str | None, task: Task) -> bool:
        """Whether no record of `task` is there yet, as far as this process alone can tell."""
        try:
            described = task.describe(model)
            path = records.path_of(self._results, replace(described, name=label or described.name), task.info)
        except Exception:  # it will be reported when the task's turn comes
            return False
        return task.info.rows is None or not path.exists()

    def _context(self, model: Model) -> Context:
        from zoo.data.cache import cache_root

        cache = cache_root(self._settings.cache_dir)
        embedder = None if model.encoder is None else Embedder(model.encoder, cache, self._workers)
        return Context(cache, self._results, self._workers, embedder, not self._bar.disable, self._settings.faiss)

    def _cell(self, model: Model, label: str | None, task: Task, context: Context) -> Cell:
        """One cell; whatever goes wrong in it stays in it."""
        described: ModelInfo | None = None
        try:
            described = task.describe(model)
            described = replace(described, name=label or described.name)
            self._bar.set_description(f"{described.name}: {task.info.name}")
            return self._run_task(model, described, task, context)
        except NotApplicableError as reason:
            described = described or described_as(model, label)
            if self._workers.rank == 0:
                name, text = described.name, str(reason)
                failures.note(self._results, name, described, task.info.name, text, "not applicable")
            return Cell(described.name, task.info.name, "not applicable", reason=str(reason))
        except Exception as error:
            described = described or described_as(model, label)
            return self._failed(described.name, described, task.info.name, error)

    def _run_task(self, model: Model, described: ModelInfo, task: Task, context: Context) -> Cell:
        started, clock = datetime.now(UTC), time.perf_counter()
        found = self._found(described, task) if task.info.rows is not None else None
        if found is None or found.record is None:
            self._together(task.prepare)
            found = self._found(described, task)
        if found.record is not None:
            return Cell(described.name, task.info.name, "hit", found.record)
        outcome = task.score(model, context)
        record = self._record(described, outcome, started, time.perf_counter() - clock)
        written = self._together(partial(self._write, record, outcome))
        return Cell(described.name, task.info.name, "scored", written, found.reason)

    def _found(self, described: ModelInfo, task: Task) -> lookup.Found:
        """What the first process finds, so that all go the same way."""
        found, error = None, None
        if self._workers.rank == 0:
            try:
                found = lookup.find(described, task.info, self._results)
            except (OSError, ValueError) as problem:
                error = problem
        self._workers.agree(error)
        return typing.cast(lookup.Found, self._workers.broadcast(found))

    def _together(self, action: Callable[[], Any]) -> Any:
        """The result of `action` if it works in all processes, else the error of the first that failed, in all."""
        result, error = None, None
        try:
            result = action()
        except NotApplicableError:  # follows from the model and the data, so all processes say so
            raise
        except Exception as problem:
            error = problem
        self._workers.agree(error)
        return result

    def _record(self, described: ModelInfo, outcome: Outcome, started: datetime, seconds: float) -> Record:
        from zoo import provenance

        facts = provenance.environment()
        evaluation = Evaluation(
            started=started.isoformat(timespec="seconds"),
            seconds=seconds,
            encode_seconds=outcome.encode_seconds,
            texts=outcome.texts,
            texts_encoded=outcome.texts_encoded,
            devices=self._workers.world_size,
            hardware=facts["hardware"],
            versions=facts["versions"],
            commit=facts["commit"],
            dirty=facts["dirty"],
        )
        return Record(described, outcome.task, outcome.scores, evaluation)

    def _write(self, record: Record, outcome: Outcome) -> Record:
        """The record as it stands on disk, with the values of single examples beside it; process 0 writes both."""
        if self._workers.rank != 0:
            return record
        if outcome.examples is not None:
            beside = records.examples_path(records.path_of(self._results, record.model, record.task))
            beside.parent.mkdir(parents=True, exist_ok=True)
            digest = outcome.examples.save(beside)
            record = replace(record, examples=ExamplesFile(beside.name, digest, outcome.examples.count))
        records.write(record, self._results)
        failures.clear(self._results, record.model, record.task.name)
        return record

    def _failed(self, name: str, model: ModelInfo | None, task: str, error: Exception) -> Cell:
        _log.debug("%s on %s", name, task, exc_info=error)
        text = " ".join(str(error).split())
        known = isinstance(error, ValueError | OSError)
        reason = text if known else f"{type(error).__name__}: {text}"
        if self._workers.rank == 0:
            failures.note(self._results, name, model, task, reason)
        return Cell(name, task, "failed", reason=reason)


def described_as(model: Model, label: str | None) -> ModelInfo:
    """A model by any of its sides, called `label` if there is one."""
    side = model.encoder or model.searcher or model.language_model or model.cross_encoder
    assert side is not None, "a model can do something"
    info = side.describe()
    return replace(info, name=label or info.name)
