"""Any mteb task, official or ours, as a task of the runner."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import mteb

from bench.adapters import Meter, MtebEncoder, MtebSearcher
from bench.protocols import Model, NotApplicableError, Outcome
from bench.records import ModelInfo, Scores, TaskInfo

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask


class MtebTask:
    """A task of mteb, run unmodified.

    Args:
        make: gives a fresh task object; a used one has moved its random state, so each model gets its own.
        suite: that it belongs to.
    """

    def __init__(self, make: Callable[[], AbsTask], suite: str) -> None:
        self._make = make
        task = make()
        metadata = task.metadata
        self._searchable = metadata.simplified_task_type == "retrieval"
        self.info = TaskInfo(
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
        )

    def describe(self, model: Model) -> ModelInfo:
        """The side of `model` that this task scores."""
        return self._adapt(model, Meter()).info

    def score(self, model: Model, *, progress: bool) -> Outcome:
        """Run the task on `model`; mteb's own result cache stays closed."""
        meter = Meter()
        result = mteb.evaluate(
            self._adapt(model, meter),
            self._make(),
            cache=None,
            co2_tracker=False,
            encode_kwargs={"batch_size": 32, "show_progress_bar": progress},
            show_progress_bar=False,
            public_only=False,
        ).task_results[0]
        main = float(result.get_score())
        if not math.isfinite(main):
            raise ValueError(f"{self.info.metric} came out as {main}")
        return Outcome(self.info, Scores(main, flatten(result.scores)), meter.seconds, meter.texts)

    def _adapt(self, model: Model, meter: Meter) -> MtebEncoder | MtebSearcher:
        if model.encoder is not None:
            return MtebEncoder(model.encoder, meter)
        if self._searchable and model.searcher is not None:
            return MtebSearcher(model.searcher, meter)
        raise NotApplicableError(f"{self.info.type} needs an encoder of texts, which this model is not")


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


def _languages(metadata: Any, subset: str) -> list[str]:
    languages: list[str] = metadata.hf_subsets_to_langscripts[subset]
    return languages
