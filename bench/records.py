"""One JSON file a (model, task): the only source of every number on a leaderboard.

Layout: `RESULTS/<model>/<first 12 digits of the revision>/<task>.json`. A record says which weights, which data and
which machine gave a score, and carries a checksum, so that an edited or truncated one is refused. Standard
library only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from bench import schema

SCHEMA = 1

ModelKind = Literal["zoo", "sentence-transformers", "lexical"]


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
    data: str | None


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What was scored.

    Args:
        name: shown to people; two models may share it.
        revision: sha256 (64 hex digits) of weights, tokenizer, pooling, prompts, dtype and maximum length.
        kind: how it was opened.
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
    revision: str
    kind: ModelKind
    dtype: str
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
        if not re.fullmatch("[0-9a-f]{64}", self.revision):
            raise ValueError(f"model.revision must be a sha256 of 64 hex digits, got {self.revision!r}")


@dataclass(frozen=True, kw_only=True)
class TaskInfo:
    """What it was scored on.

    Args:
        name: of the mteb task class, such as `SciFact`.
        type: of the task, such as `Retrieval`.
        suite: that the task was run for: `pydoc`, `lm`, or `mteb` for official tasks.
        dataset: where the data comes from.
        revision: of the data: a commit of the hub, or a content hash.
        split: evaluated splits, joined by `+`.
        subset: evaluated subsets, joined by `+`.
        metric: name of the main score.
        higher_is_better: false for losses.
        languages: ISO 639-3 codes with script, such as `eng-Latn`.
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

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("task.name is empty")


@dataclass(frozen=True)
class Scores:
    """Numbers, all finite: the main score and every other by flat name."""

    main: float
    all: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, value in {"main": self.main, **self.all}.items():
            if not math.isfinite(value):
                raise ValueError(f"score {name!r} is {value}: only finite numbers can be recorded")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a score came to be.

    Args:
        started: ISO 8601 with an offset from UTC.
        seconds: wall time of the task, loading of its data included.
        encode_seconds: wall time spent inside the model.
        texts_encoded: texts given to the model.
        hardware: facts about the machine.
        versions: of the libraries that compute the score.
        commit: of the code that computed it, None outside a checkout.
        dirty: whether that checkout had changes.
    """

    started: str
    seconds: float
    encode_seconds: float
    texts_encoded: int
    hardware: Mapping[str, Any]
    versions: Mapping[str, Any]
    commit: str | None = None
    dirty: bool | None = None

    def __post_init__(self) -> None:
        if datetime.fromisoformat(self.started).tzinfo is None:
            raise ValueError(f"evaluation.started must carry its offset from UTC, got {self.started!r}")


@dataclass(frozen=True)
class Record:
    """One score and all that is needed to believe it."""

    model: ModelInfo
    task: TaskInfo
    scores: Scores
    evaluation: Evaluation


@dataclass(frozen=True)
class Problem:
    """A file that looks like a record and cannot be used."""

    path: Path
    message: str


def path_of(results_dir: str | Path, model: str, revision: str, task: str) -> Path:
    """Where the record of a model and a task belongs.

    >>> path_of("results", "owner/name", "0123456789abcdef", "SciFact").as_posix()
    'results/owner__name/0123456789ab/SciFact.json'
    """
    return Path(results_dir) / _slug(model) / revision[:12] / f"{_slug(task)}.json"


def write(record: Record, results_dir: str | Path) -> Path:
    """Write `record` to its place, whole or not at all, and return that place.

    Raises:
        ValueError: if something in it is no JSON, or NaN or infinite.
        OSError: if the file cannot be written; nothing is left behind.
    """
    path = path_of(results_dir, record.model.name, record.model.revision, record.task.name)
    try:
        body = json.loads(_canonical({"schema": SCHEMA, **dataclasses.asdict(record)}))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: cannot be recorded: {error}") from error
    schema.parse(Record, {key: value for key, value in body.items() if key != "schema"}, "")
    text = json.dumps({**body, "checksum": _checksum(body)}, indent=1, ensure_ascii=False)
    _replace(path, text + "\n")
    return path


def read(path: str | Path) -> Record:
    """Read one record and verify its checksum and its form.

    Raises:
        ValueError: naming the file, what is wrong with it and what to do.
        OSError: if it cannot be read.
    """
    try:
        body = json.loads(Path(path).read_bytes())
        if not isinstance(body, dict):
            raise ValueError("not a JSON object")
        version, checksum = body.get("schema"), body.pop("checksum", None)
        if version != SCHEMA:
            raise ValueError(f"schema is {version!r}, this version reads {SCHEMA}")
        if checksum != _checksum(body):
            raise ValueError("checksum does not match, so it was edited or cut off")
        del body["schema"]
        record: Record = schema.parse(Record, body, "")
    except ValueError as error:
        raise ValueError(f"{path}: not a valid record ({error}); delete it and run `zoo bench run` again") from error
    return record


def load_all(results_dir: str | Path) -> tuple[list[Record], list[Problem]]:
    """Read every record below `results_dir`.

    Returns:
        The records sorted by model name, revision and task, and the files that could not be used, sorted by path.

    Raises:
        FileNotFoundError: if the folder is not there.
    """
    root = Path(results_dir)
    if not root.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no results folder here; make one with `zoo bench run`", str(root))
    records: list[Record] = []
    problems: list[Problem] = []
    for path in sorted(root.glob("*/*/*.json")):
        try:
            record = read(path)
        except (OSError, ValueError) as error:
            problems.append(Problem(path, str(error)))
            continue
        home = path_of(root, record.model.name, record.model.revision, record.task.name)
        if home == path:
            records.append(record)
        else:
            problems.append(Problem(path, f"{path}: belongs at {home}; move it there, or delete it if it is a copy"))
    records.sort(key=lambda r: (r.model.name, r.model.revision, r.task.name))
    return records, problems


def _slug(name: str) -> str:
    slug = re.sub(r"[^\w.()+-]", "_", name.replace("/", "__"), flags=re.ASCII)
    return f"_{slug}" if slug.startswith(".") else slug


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()


def _replace(path: Path, text: str) -> None:
    """Put `text` at `path` through a synced temporary file beside it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        advice = f"cannot write the record ({error.strerror}); make room or choose another results folder"
        raise OSError(error.errno, advice, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
