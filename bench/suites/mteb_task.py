"""Any mteb task, official or ours, as a task of the runner."""

from __future__ import annotations

import copy
import json
import math
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mteb

from bench.adapters import MtebEncoder, MtebSearcher
from bench.data.known import KnownRows
from bench.data.loading import load
from bench.embedding import Meter
from bench.mteb_examples import from_mteb
from bench.protocols import Context, Model, NotApplicableError, Outcome
from bench.records import ModelInfo, Scores, TaskInfo
from bench.reranker import MtebReranker
from bench.suites.intervals import with_interval

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from bench.data.bundle import Bundle

RANKING_TYPES = frozenset({"Retrieval", "Reranking", "InstructionReranking", "InstructionRetrieval"})


class MtebTask:
    """A task of mteb, with its own data and its own metrics.

    Args:
        make: gives a fresh task object; a used one has moved its random state, so each model gets its own.
        suite: that it belongs to.
        bundle: where data of the hub is read from instead.
        known: row hashes of data that was loaded before, None to load it whenever they are asked for.
    """

    def __init__(
        self,
        make: Callable[[], AbsTask],
        suite: str,
        *,
        bundle: Bundle | None = None,
        known: KnownRows | None = None,
    ) -> None:
        self._make = make
        self._bundle = bundle
        self._known = known
        self._lock = threading.Lock()
        # Made here and loaded later: making a task seeds the global random states, which a thread must not do.
        self._blank = make()
        self._random = copy.deepcopy((self._blank.rng_state, self._blank.np_rng))
        self.task: AbsTask | None = None
        self.info = _describe(self._blank, suite)
        if known is not None:
            self.info = known.complete(self.info)

    def prepare(self) -> None:
        """Load the data, hash its rows and compare it with the statistics that mteb ships."""
        with self._lock:
            if self.task is not None:
                return
            task = self._blank
            task.rng_state, task.np_rng = copy.deepcopy(self._random)
            loaded = load(task, self._bundle)
            self.info = replace(self.info, rows=loaded.rows, check=loaded.check)
            if self._known is not None:
                self._known.remember(self.info)
            self.task = task

    def release(self) -> None:
        """Drop the data."""
        with self._lock:
            self.task = None
            self._blank.dataset, self._blank.data_loaded = None, False

    def describe(self, model: Model) -> ModelInfo:
        """The side of `model` that this task scores."""
        if model.encoder is not None:
            return model.encoder.describe()
        ranking = model.searcher or model.cross_encoder
        if self.info.type in RANKING_TYPES and ranking is not None:
            return ranking.describe()
        raise NotApplicableError(f"{self.info.type} needs an encoder of texts, which this model is not")

    def score(self, model: Model, context: Context) -> Outcome:
        """Run the task on `model`; mteb's own result cache stays closed."""
        meter = Meter() if context.embedder is None else context.embedder.meter
        seconds, texts, encoded = meter.seconds, meter.texts, meter.texts_encoded
        task = self._fresh()
        result, predictions = _evaluate(self._adapt(model, context, meter), task, progress=context.progress)
        main = float(result.get_score())
        if not math.isfinite(main):
            raise ValueError(f"{self.info.metric} came out as {main}")
        examples = from_mteb(task, predictions, result.scores)
        return Outcome(
            task=self.info,
            scores=with_interval(Scores(main, flatten(result.scores)), examples),
            encode_seconds=meter.seconds - seconds,
            texts=meter.texts - texts,
            texts_encoded=meter.texts_encoded - encoded,
            examples=None if isinstance(examples, str) else examples,
        )

    def _adapt(self, model: Model, context: Context, meter: Meter) -> Any:
        if context.embedder is not None:
            return MtebEncoder(context.embedder, faiss=context.faiss)
        if model.cross_encoder is not None:
            return MtebReranker(model.cross_encoder, meter)
        assert model.searcher is not None, "describe() comes first and refuses"
        return MtebSearcher(model.searcher, meter)

    def _fresh(self) -> AbsTask:
        """A task as its constructor and the loading of its data left it; making it seeds the libraries."""
        assert self.task is not None, "prepare() comes first"
        fresh, loaded = self._make(), self.task
        # loading changes settings of some tasks, such as the share of the documents that is clustered
        vars(fresh).update({k: v for k, v in vars(loaded).items() if v is None or isinstance(v, str | int | float)})
        fresh.dataset, fresh.data_loaded = loaded.dataset, True
        fresh.rng_state, fresh.np_rng = copy.deepcopy(loaded.rng_state), copy.deepcopy(loaded.np_rng)
        return fresh


def _evaluate(model: Any, task: AbsTask, *, progress: bool) -> tuple[Any, dict[str, Any]]:
    """Mteb's result, and what the model predicted for each example."""
    with tempfile.TemporaryDirectory() as folder:
        result = mteb.evaluate(
            model,
            task,
            cache=None,
            co2_tracker=False,
            encode_kwargs={"batch_size": 1024, "show_progress_bar": progress},  # of its data loader, not of the model
            show_progress_bar=False,
            public_only=False,
            prediction_folder=folder,
        ).task_results[0]
        written = Path(folder) / task.prediction_file_name
        predictions = json.loads(written.read_bytes()) if written.exists() else {}
    return result, predictions


def flatten(scores: Mapping[str, list[Mapping[str, Any]]]) -> dict[str, float]:
    """Scores of mteb by flat name: `metric`, or `split/subset/metric` where there is more than one.

    Only numbers are kept. Undefined ones (NaN, such as the confidence of a metric that is the same for all queries) and
    lists of single experiments are left out.

    Example:
        >>> flatten({"test": [{"hf_subset": "default", "languages": ["eng-Latn"], "accuracy": 0.5, "ap": None}]})
        {'accuracy': 0.5}
    """
    parts = [(split, part["hf_subset"], part) for split, subsets in scores.items() for part in subsets]
    flat = {}
    for split, subset, part in parts:
        prefix = f"{split}/{subset}/" if len(parts) > 1 else ""
        for name, value in part.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                flat[f"{prefix}{name}"] = float(value)
    return flat


def _describe(task: AbsTask, suite: str) -> TaskInfo:
    metadata = task.metadata
    return TaskInfo(
        name=metadata.name,
        type=metadata.type,
        suite=suite,
        dataset=metadata.dataset["path"],
        revision=metadata.dataset["revision"],
        split="+".join(task.eval_splits),
        subset="+".join(task.hf_subsets),
        metric=metadata.main_score,
        higher_is_better=True,
        languages=tuple(sorted({code for subset in task.hf_subsets for code in _languages(metadata, subset)})),
        scoring=f"mteb {mteb.__version__}",
    )


def _languages(metadata: Any, subset: str) -> list[str]:
    languages: list[str] = metadata.hf_subsets_to_langscripts[subset]
    return languages
