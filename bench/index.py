"""What a results folder holds, at the cost of looking at the files that changed since the last time.

`RESULTS/.index.json` remembers one line a record by its time and size. It is a convenience: without it, or with one
that is damaged or cannot be written, everything is read again. Standard library only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.records import Problem, Record
from bench.records.files import is_record, paths, read_at_home, replace, scan

NAME = ".index.json"
VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One record in short.

    Args:
        model: name.
        revision: its first 12 digits.
        task: name of the task.
        key: of its data and scoring.
        suite: that it belongs to.
        metric: name of the main score.
        main: the main score.
        deviates: what is wrong with its data; empty if nothing is.
        problem: why the file cannot be used; the other values are empty then.
    """

    model: str = ""
    revision: str = ""
    task: str = ""
    key: str = ""
    suite: str = ""
    metric: str = ""
    main: float = 0.0
    deviates: str = ""
    problem: str = ""


def entries(results_dir: str | Path) -> list[Entry]:
    """One entry a record below `results_dir`, sorted by path.

    Raises:
        FileNotFoundError: if the folder is not there.
    """
    root = Path(results_dir)
    known = _load(root / NAME)
    found: dict[str, list[Any]] = {}
    for path, stat in _files(root):
        name = path[len(str(root)) + 1 :]
        stamp = [stat.st_mtime_ns, stat.st_size]
        old = known.get(name)
        found[name] = old if old and old[:2] == stamp else [*stamp, *dataclasses.astuple(_entry(path, root))]
    if found != known:
        with contextlib.suppress(OSError):  # a folder that cannot be written is read in full each time
            replace(root / NAME, json.dumps({"version": VERSION, "files": found}, ensure_ascii=False))
    return [Entry(*row[2:]) for row in found.values()]


def _files(root: Path) -> list[tuple[str, os.stat_result]]:
    """Paths of records with their state, sorted."""
    if not root.is_dir():
        paths(root)  # raises what a missing folder raises everywhere
    found = [(file.path, file.stat()) for file in scan(root) if is_record(file.name)]
    return sorted(found, key=lambda pair: pair[0])


def _entry(path: str, root: Path) -> Entry:
    found = read_at_home(Path(path), root)
    if isinstance(found, Problem):
        return Entry(problem=found.message)
    return _short(found)


def _short(record: Record) -> Entry:
    model, task = record.model, record.task
    deviates = task.check.note if task.check is not None and task.check.status == "deviates" else ""
    return Entry(
        model.name, model.revision[:12], task.name, task.key, task.suite, task.metric, record.scores.main, deviates
    )


def _load(path: Path) -> dict[str, list[Any]]:
    width = 2 + len(dataclasses.fields(Entry))
    try:
        content = json.loads(path.read_bytes())
        files: dict[str, list[Any]] = content["files"]
        usable = content["version"] == VERSION and all(len(row) == width for row in files.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return files if usable else {}
