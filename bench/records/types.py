"""What a record holds: which weights, which data and which machine gave a score."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

ModelKind = Literal["zoo", "sentence-transformers", "cross-encoder", "lexical", "imported"]
_NO_TEXT: Mapping[str, str] = {}


@dataclass(frozen=True)
class Parameters:
    """Trainable numbers of a model, by part; parts that a model does not have are 0."""

    total: int
    embedding: int
    encoder: int
    head: int


@dataclass(frozen=True)
class Axes:
    """Class names of the choices that made a model; None where an axis does not apply."""

    objective: str
    embedding: str | None
    encoder: str | None
    head: str | None
    optimizer: str | None
    schedule: str | None
    data: str | None


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What was scored.

    Args:
        name: shown to people; two models may share it.
        parts: all that decides an output, by part (`weights`, `tokenizer`, `pooling`, `prompts`, `dtype`, `max_length`,
            ...): a sha256 or a short plain value each. Where the model lies does not count.
        kind: how it was opened.
        source: hub name that it can be opened by again, None for local files.
        parameters: counts by part, None where there are none (lexical) or they are unknown.
        bytes: size of parameters and buffers in memory.
        dim: width of its vectors.
        max_length: longest text it reads, in tokens.
        dtype: of the computation, such as `float32`.
        prompts: text put before a query or a document, by the model's own names for them.
        axes: the choices behind a model of ours.
        config: resolved training configuration.
        training: provenance of the training run (commit, versions, device, seed, tokens seen, seconds, ...).
    """

    name: str
    parts: Mapping[str, str]
    kind: ModelKind
    dtype: str
    source: str | None = None
    parameters: Parameters | None = None
    bytes: int | None = None
    dim: int | None = None
    max_length: int | None = None
    prompts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    axes: Axes | None = None
    config: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("model.name is empty")
        if not self.parts:
            raise ValueError("model.parts is empty: nothing says which weights these are")

    @property
    def revision(self) -> str:
        """sha256 (64 hex digits) of the parts."""
        return revision_of(self.parts)


@dataclass(frozen=True)
class DataCheck:
    """Whether the data is what it is called.

    Args:
        status: `official` if it has the exact statistics that mteb ships, `deviates`, or `unchecked` if there are none.
        note: what deviates, or why it could not be checked.
    """

    status: Literal["official", "deviates", "unchecked"]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """What it was scored on.

    Args:
        name: of the mteb task class, such as `SciFact`.
        type: of the task, such as `Retrieval`.
        suite: that the task belongs to: `pydoc`, `lm`, `glue`, `efficiency`, `geometry`, `words`, or `mteb` for
            official tasks.
        dataset: where the data comes from.
        revision: of the data: a commit of the hub, or a content hash.
        split: evaluated splits, joined by `+`.
        subset: evaluated subsets, joined by `+`.
        metric: name of the main score.
        higher_is_better: false for losses.
        languages: ISO 639-3 codes with script, such as `eng-Latn`.
        scoring: version of the code that computes the score, such as `mteb 2.26.24`.
        rows: hash of the rows, None before they are loaded.
        check: whether they are the official ones, None before they are loaded.
    """

    name: str
    type: str
    suite: str
    dataset: str
    revision: str
    split: str
    subset: str
    metric: str
    higher_is_better: bool
    languages: tuple[str, ...]
    scoring: str
    rows: str | None = None
    check: DataCheck | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("task.name is empty")

    @property
    def parts(self) -> dict[str, str]:
        """All that decides a score beside the model."""
        names = ("dataset", "revision", "rows", "split", "subset", "metric", "scoring")
        return {name: str(getattr(self, name)) for name in names}

    @property
    def key(self) -> str:
        """Eight hex digits that tell apart the same task on other data, or scored by other code."""
        return revision_of(self.parts)[:8]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Confidence interval of a main score.

    Args:
        low: lower end.
        high: upper end.
        level: such as 0.95.
        method: how it was found, such as `percentile bootstrap, 2000 resamples`.
        unit: what was resampled, such as `query`.
        count: how many of them there are.
    """

    low: float
    high: float
    level: float
    method: str
    unit: str
    count: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"interval from {self.low} to {self.high}: the ends must be finite and in order")


@dataclass(frozen=True)
class Scores:
    """Numbers, all finite.

    Args:
        main: the main score.
        all: every score by flat name.
        interval: of the main score, None where there are no examples to resample (`absent` says why).
        absent: why a score has no number, by its name; never NaN and never 0.
    """

    main: float
    all: Mapping[str, float]
    interval: Interval | None = None
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in {"main": self.main, **self.all}.items():
            if not math.isfinite(value):
                raise ValueError(f"score {name!r} is {value}: only finite numbers can be recorded")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a score came to be.

    Args:
        started: ISO 8601 with an offset from UTC.
        seconds: wall time of the task, loading of its data included where nothing else ran meanwhile.
        encode_seconds: wall time spent inside the model.
        texts: texts given to the model.
        texts_encoded: texts that it computed; the others were known from before.
        devices: processes that computed together.
        hardware: facts about the machine.
        versions: of the libraries that compute the score.
        commit: of the code that computed it, None outside a checkout.
        dirty: whether that checkout had changes.
    """

    started: str
    seconds: float
    encode_seconds: float
    texts: int
    texts_encoded: int
    devices: int
    hardware: Mapping[str, Any]
    versions: Mapping[str, Any]
    commit: str | None = None
    dirty: bool | None = None

    def __post_init__(self) -> None:
        if datetime.fromisoformat(self.started).tzinfo is None:
            raise ValueError(f"evaluation.started must carry its offset from UTC, got {self.started!r}")


@dataclass(frozen=True)
class ExamplesFile:
    """The values of single examples, in a file beside the record.

    Args:
        file: its name.
        sha256: of its content.
        count: number of examples.
    """

    file: str
    sha256: str
    count: int


@dataclass(frozen=True)
class Record:
    """One score and all that is needed to believe it."""

    model: ModelInfo
    task: TaskInfo
    scores: Scores
    evaluation: Evaluation
    examples: ExamplesFile | None = None


def revision_of(parts: Mapping[str, str]) -> str:
    """sha256 (64 hex digits) of parts by name; their order does not matter.

    Example:
        >>> revision_of({"weights": "a", "dtype": "float32"}) == revision_of({"dtype": "float32", "weights": "a"})
        True
    """
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Names of the parts that are not the same in both, sorted.

    Example:
        >>> differences({"weights": "a", "dtype": "float32"}, {"weights": "b", "dtype": "float32"})
        ['weights']
    """
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
