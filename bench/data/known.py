"""Hashes of rows that were loaded before, so that a finished cell is recognised without loading its data again."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from pathlib import Path

from bench.records import DataCheck, TaskInfo
from bench.records.files import replace, slug


class KnownRows:
    """One small file a task, keyed by the revision, splits and subsets of its data and by the version of mteb.

    A revision of the hub never changes, so what it holds is remembered; the hash is computed anew whenever the data is
    loaded.

    Args:
        folder: where the files lie; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def complete(self, info: TaskInfo) -> TaskInfo:
        """`info` with the rows and the check of its data if they are known, else as it is."""
        try:
            known = json.loads(self._path(info).read_bytes())
            return dataclasses.replace(info, rows=str(known["rows"]), check=DataCheck(**known["check"]))
        except (OSError, ValueError, KeyError, TypeError):  # absent or damaged: the data will be loaded and hashed
            return info

    def remember(self, info: TaskInfo) -> None:
        """Keep the rows and the check of `info`; a folder that cannot be written costs time only."""
        assert info.rows is not None
        assert info.check is not None
        content = {"rows": info.rows, "check": dataclasses.asdict(info.check)}
        with contextlib.suppress(OSError):
            replace(self._path(info), json.dumps(content))

    def _path(self, info: TaskInfo) -> Path:
        facts = (info.name, info.dataset, info.revision, info.split, info.subset, info.scoring)
        digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]
        return self._folder / f"{slug(info.name)}.{digest}.json"
