"""Records on disk.

Layout: `RESULTS/<model>/<first 12 digits of the revision>/<task>.<key of the task>.json`, so that a score of other
weights, other data or other scoring code never takes the place of this one. A record carries a checksum, so that an
edited or truncated one is refused. Standard library only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.records import schema
from bench.records.types import ModelInfo, Record, TaskInfo

SCHEMA = 2
FAILURE_SUFFIX = ".failed.json"


@dataclass(frozen=True)
class Problem:
    """A file that looks like a record and cannot be used."""

    path: Path
    message: str


def path_of(results_dir: str | Path, model: ModelInfo, task: TaskInfo) -> Path:
    """Where the record of a model and a task belongs."""
    return folder_of(results_dir, model) / f"{slug(task.name)}.{task.key}.json"


def folder_of(results_dir: str | Path, model: ModelInfo) -> Path:
    """Where all records of a model belong."""
    return Path(results_dir) / slug(model.name) / model.revision[:12]


def examples_path(record: str | Path) -> Path:
    """Where the values of single examples lie that belong to the record at `record`.

    >>> examples_path("results/m/0123456789ab/SciFact.01234567.json").name
    'SciFact.01234567.examples.npz'
    """
    return Path(record).with_suffix(".examples.npz")


def write(record: Record, results_dir: str | Path) -> Path:
    """Write `record` to its place, whole or not at all, and return that place.

    Raises:
        ValueError: if something in it is no JSON, or NaN or infinite.
        OSError: if the file cannot be written; nothing is left behind.
    """
    path = path_of(results_dir, record.model, record.task)
    try:
        body = json.loads(_canonical({"schema": SCHEMA, **dataclasses.asdict(record)}))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: cannot be recorded: {error}") from error
    schema.parse(Record, {key: value for key, value in body.items() if key != "schema"}, "")
    body["revision"] = record.model.revision
    text = json.dumps({**body, "checksum": _checksum(body)}, indent=1, ensure_ascii=False)
    replace(path, text + "\n")
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
        revision = body.pop("revision", None)
        record: Record = schema.parse(Record, body, "")
        if revision != record.model.revision:
            raise ValueError("the revision is not the hash of the model's parts")
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
    records: list[Record] = []
    problems: list[Problem] = []
    for path in paths(root):
        found = read_at_home(path, root)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            records.append(found)
    records.sort(key=lambda r: (r.model.name, r.model.revision, r.task.name, r.task.key))
    return records, problems


def paths(results_dir: str | Path) -> list[Path]:
    """Files below `results_dir` that should be records, sorted.

    Raises:
        FileNotFoundError: if the folder is not there.
    """
    root = Path(results_dir)
    if not root.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no results folder here; make one with `zoo bench run`", str(root))
    return sorted(Path(file.path) for file in scan(root) if is_record(file.name))


def scan(root: str | Path) -> Iterator[os.DirEntry[str]]:
    """Every file two folders below `root`, hidden folders left out; `os.scandir`, because pathlib is much slower."""
    for model in _folders(root):
        for revision in _folders(model):
            with os.scandir(revision) as files:
                yield from files


def _folders(folder: str | Path) -> list[str]:
    with os.scandir(folder) as found:
        return [entry.path for entry in found if entry.is_dir() and not entry.name.startswith(".")]


def is_record(name: str) -> bool:
    """Whether a file of this name should be a record.

    >>> is_record("SciFact.01234567.json"), is_record("SciFact.failed.json")
    (True, False)
    """
    return name.endswith(".json") and not name.endswith(FAILURE_SUFFIX) and not name.startswith(".")


def read_at_home(path: Path, results_dir: Path) -> Record | Problem:
    """The record at `path`, or what is wrong: it cannot be used, or it is not where it belongs."""
    try:
        record = read(path)
    except (OSError, ValueError) as error:
        return Problem(path, str(error))
    home = path_of(results_dir, record.model, record.task)
    if home != path:
        return Problem(path, f"{path}: belongs at {home}; move it there, or delete it if it is a copy")
    return record


def slug(name: str) -> str:
    """`name` as a file name.

    >>> slug("owner/name")
    'owner__name'
    """
    safe = re.sub(r"[^\w.()+-]", "_", name.replace("/", "__"), flags=re.ASCII)
    return f"_{safe}" if safe.startswith(".") else safe


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()


def replace(path: Path, text: str) -> None:
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
