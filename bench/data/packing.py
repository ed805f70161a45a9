"""Writing of bundles; `bench.data.bundle` reads them."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from datasets import Dataset

from bench.data.bundle import FORMAT, MANIFEST, checksum, digest, random_state
from bench.data.offline import is_hub_name
from bench.data.rows import as_json, hash_part, hash_parts, parts_of
from zoo.data.cache import atomic_path

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

    from bench.protocols import Task

_ROWS_AT_ONCE = 8192
# Not settings: the data itself, and what the user chooses when the bundle is used.
_NO_ATTRIBUTES = ("dataset", "data_loaded", "_eval_splits")


@dataclass(frozen=True)
class PackReport:
    """What went into a bundle.

    Args:
        tasks: names of the mteb tasks.
        datasets: names of the tables that belong to no mteb task.
        left_out: names of tasks that need no data from elsewhere.
        bytes: size of the file.
    """

    tasks: tuple[str, ...]
    datasets: tuple[str, ...]
    left_out: tuple[str, ...]
    bytes: int


def pack(tasks: Iterable[Task], out: str | Path, on_task: Callable[[str], None] = lambda _: None) -> PackReport:
    """Load the data of `tasks` and write it to one file, whole or not at all.

    Args:
        tasks: each is prepared and released. Those of mteb have their loaded task as `task`; others may have
            `datasets`, loaders of single tables by `bench.data.bundle.dataset_name`; one with neither needs no bundle.
        out: file to write.
        on_task: called with the name of each task before it is loaded.

    Raises:
        ValueError: if the data of a task cannot be loaded or packed, naming the task.
        OSError: if the file cannot be written; nothing is left behind.
    """
    out, left_out = Path(out), []
    with atomic_path(out) as partial:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive, tempfile.TemporaryDirectory() as scratch:
            writer = _Writer(archive, Path(scratch))
            for task in tasks:
                on_task(task.info.name)
                if not _add(writer, task):
                    left_out.append(task.info.name)
            writer.finish()
        partial.chmod(0o644)  # it is made to be carried to other users
    names = tuple(entry["name"] for entry in writer.tasks)
    return PackReport(names, tuple(writer.datasets), tuple(left_out), out.stat().st_size)


def _add(writer: _Writer, task: Task) -> bool:
    """Whether `task` had data to pack."""
    loaders: Mapping[str, Callable[[], Dataset]] = getattr(task, "datasets", {})
    task.prepare()
    try:
        loaded: AbsTask | None = getattr(task, "task", None)
        ours = loaded is None or not is_hub_name(str(loaded.metadata.dataset["path"]))
        if not ours:
            writer.add_task(loaded)
        for name, load in loaders.items():
            writer.add_dataset(name, load())
    except (ValueError, TypeError) as error:
        raise ValueError(f"{task.info.name} cannot be packed: {error}") from error
    finally:
        task.release()
    return not ours or bool(loaders)


@dataclass
class _Writer:
    archive: zipfile.ZipFile
    scratch: Path
    tasks: list[dict[str, Any]] = field(default_factory=list)
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_rows: dict[str, str] = field(default_factory=dict)

    def add_task(self, task: AbsTask) -> None:
        if list(task.metadata.modalities) != ["text"]:
            raise ValueError(f"its data is {' and '.join(task.metadata.modalities)}; only text can be packed")
        name = task.metadata.name
        stored = [{"part": part, **self._add("/".join((name, *part)), data)} for part, data in parts_of(task).items()]
        self.tasks.append(
            {
                "name": name,
                "path": task.metadata.dataset["path"],
                "revision": task.metadata.dataset["revision"],
                "subsets": list(task.hf_subsets),
                "splits": list(task.eval_splits),
                "rows": hash_parts({part["part"]: part["rows"] for part in stored}),
                "attributes": _settings(task),
                "random": random_state(task),
                "parts": stored,
            }
        )

    def add_dataset(self, name: str, dataset: Dataset) -> None:
        self.datasets[name] = self._add(name, dataset)

    def finish(self) -> None:
        manifest = {
            "format": FORMAT,
            "versions": {name: version(name) for name in ("mteb", "datasets")},
            "tasks": self.tasks,
            "datasets": self.datasets,
            "members": self.members,
        }
        text = json.dumps({**manifest, "checksum": checksum(manifest)}, indent=1, sort_keys=True)
        self.archive.writestr(MANIFEST, text, zipfile.ZIP_DEFLATED)

    def _add(self, name: str, data: Any) -> dict[str, Any]:
        """Store one part, unless the same rows are there already."""
        rows = hash_part(data)
        key = f"{rows} {isinstance(data, Dataset)}"
        if key not in self.by_rows:
            write = _write_table if isinstance(data, Dataset) else _write_json
            suffix = "parquet" if isinstance(data, Dataset) else "json"
            stem = re.sub(r"[^\w./@+-]", "_", name)
            self.by_rows[key] = self._store(f"{stem}-{rows[:8]}.{suffix}", write, data)
        return {"member": self.by_rows[key], "rows": rows}

    def _store(self, member: str, write: Callable[[Any, Path], None], data: Any) -> str:
        path = self.scratch / "part"
        write(data, path)
        with path.open("rb") as file:
            self.members[member] = {"sha256": digest(file), "size": path.stat().st_size}
        json_text = member.endswith(".json")
        self.archive.write(path, member, zipfile.ZIP_DEFLATED if json_text else zipfile.ZIP_STORED)
        path.unlink()
        return member


def _settings(task: AbsTask) -> dict[str, Any]:
    """Plain attributes of `task` itself, some of which the loading of some tasks sets."""
    found = {name: value for name, value in vars(task).items() if name not in _NO_ATTRIBUTES}
    return {name: value for name, value in found.items() if value is None or isinstance(value, str | int | float)}


def _write_table(dataset: Dataset, path: Path) -> None:
    with pq.ParquetWriter(path, dataset.features.arrow_schema, compression="zstd") as writer:
        for table in dataset.with_format("arrow").iter(batch_size=_ROWS_AT_ONCE):
            writer.write_table(table.cast(writer.schema))


def _write_json(data: Any, path: Path) -> None:
    if not _keeps_keys(data):
        raise ValueError("a part of its data has keys that are no text, which JSON does not keep")
    path.write_text(json.dumps(data, ensure_ascii=True, default=as_json), encoding="utf-8")


def _keeps_keys(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _keeps_keys(inner) for key, inner in value.items())
    return not isinstance(value, list) or all(_keeps_keys(inner) for inner in value)
