"""Data of tasks in one file, for machines without a network.

A zip archive of one Parquet (tables) or JSON (judgements, candidates) member a part, and `manifest.json` with the
revision, the hash of the rows and the SHA-256 of every member. The data is packed as mteb scores it: loaded,
transformed and subsampled. So a bundle gives the same numbers as the hub.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict

from bench.data.rows import Part, hash_part, splits_of
from zoo.data.cache import atomic_path, cache_root

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

FORMAT = 1
MANIFEST = "manifest.json"


def dataset_name(path: str, config: str | None, split: str, revision: str) -> str:
    """What a table that belongs to no mteb task is called in a bundle.

    Example:
        >>> dataset_name("nyu-mll/glue", "cola", "train", "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c")
        'nyu-mll/glue@bcdcba79d07b/cola/train'
    """
    return "/".join(name for name in (f"{path}@{revision[:12]}", config, split) if name)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle; make one with `Bundle.open`.

    Args:
        path: of the file.
        manifest: what is in it.
        cache_dir: where tables are unpacked when they are asked for; None takes the usual cache.
    """

    path: Path
    manifest: Mapping[str, Any]
    cache_dir: Path | None = None

    @classmethod
    def open(cls, path: str | Path, cache_dir: Path | None = None) -> Bundle:
        """Open the bundle at `path`; its tables are read and verified when they are asked for.

        Raises:
            ValueError: if it is no bundle, or was cut off or edited.
            OSError: if it cannot be read.
        """
        path = Path(path)
        try:
            with zipfile.ZipFile(path) as archive:
                sizes = {info.filename: info.file_size for info in archive.infolist()}
                manifest = json.loads(archive.read(MANIFEST))
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise _refused(path, f"not a bundle, or cut off ({error})") from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise _refused(path, f"{MANIFEST} is of another version than {FORMAT}")
        if manifest.pop("checksum", None) != checksum(manifest):
            raise _refused(path, f"{MANIFEST} was edited")
        for member, facts in manifest["members"].items():
            if sizes.get(member) != facts["size"]:
                state = "is missing" if member not in sizes else "has another size"
                raise _refused(path, f"{member} {state}")
        return cls(path, manifest, cache_dir)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the mteb tasks in it."""
        return tuple(dict.fromkeys(entry["name"] for entry in self.manifest["tasks"]))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the tables in it that belong to no mteb task; see `dataset_name`."""
        return tuple(self.manifest["datasets"])

    def load(self, task: AbsTask) -> None:
        """Fill `task` as loading from the hub would have: data, random state and settings that its loading changed.

        Raises:
            ValueError: if its revision, splits or subsets are not in the bundle, naming what is, or if a member was
                damaged.
        """
        entry = self._entry(task)
        left_out = {*entry["subsets"]} - {*task.hf_subsets}
        parts = {tuple(part["part"]): part for part in entry["parts"] if part["part"][0] not in left_out}
        for name, value in entry["attributes"].items():
            setattr(task, name, value)
        set_random_state(task, entry["random"])
        task.dataset = _nested({names: self._read(part["member"], part["rows"]) for names, part in parts.items()})
        task.data_loaded = True

    def dataset(self, name: str) -> Dataset:
        """A table that belongs to no mteb task.

        Raises:
            ValueError: if it is not in the bundle, naming those that are, or was damaged.
        """
        facts = self.manifest["datasets"].get(name)
        if facts is None:
            raise ValueError(f"{self.path}: {name} is not in this bundle; it has {_listed(self.datasets)}")
        return self._read(facts["member"], facts["rows"])

    def _entry(self, task: AbsTask) -> Mapping[str, Any]:
        name, revision = task.metadata.name, task.metadata.dataset["revision"]
        entries = [entry for entry in self.manifest["tasks"] if entry["name"] == name]
        if not entries:
            raise ValueError(f"{self.path}: {name} is not in this bundle; it has {_listed(self.tasks)}")
        current = [entry for entry in entries if entry["revision"] == revision]
        if not current:
            found = entries[0]["revision"]
            raise ValueError(f"{self.path}: {name} is of revision {found}, but {revision} is scored; pack it again")
        wanted = {*task.hf_subsets}, {*splits_of(task, {})}
        for entry in current:
            if wanted[0] <= {*entry["subsets"]} and wanted[1] <= {*entry["splits"]}:
                return entry  # type: ignore[no-any-return]
        has = "; ".join(f"{'+'.join(entry['splits'])} of {_listed(entry['subsets'])}" for entry in current)
        asked = f"{'+'.join(sorted(wanted[1]))} of {_listed(sorted(wanted[0]))}"
        raise ValueError(f"{self.path}: {name} has {has}, but {asked} is scored; pack it again")

    def _read(self, member: str, rows: str) -> Any:
        """One part, verified twice: its bytes, and its rows after reading."""
        facts = self.manifest["members"][member]
        try:
            data = self._table(member, facts["sha256"]) if member.endswith(".parquet") else self._json(member, facts)
        except (zipfile.BadZipFile, pa.ArrowException) as error:
            raise _refused(self.path, f"{member} is damaged ({error})") from error
        if hash_part(data) != rows:
            raise _refused(self.path, f"the rows of {member} are not those that were packed")
        return data

    def _json(self, member: str, facts: Mapping[str, Any]) -> Any:
        with zipfile.ZipFile(self.path) as archive:
            content = archive.read(member)
        self._verify(member, hashlib.sha256(content).hexdigest(), facts["sha256"])
        return json.loads(content)

    def _table(self, member: str, sha256: str) -> Dataset:
        unpacked = cache_root(self.cache_dir) / "bundles" / sha256 / "table.arrow"
        if not unpacked.exists():
            with zipfile.ZipFile(self.path) as archive:
                with archive.open(member) as file:
                    self._verify(member, digest(file), sha256)
                with archive.open(member) as file, atomic_path(unpacked) as partial:
                    _unpack(file, partial)
        return Dataset.from_file(str(unpacked))

    def _verify(self, member: str, found: str, expected: str) -> None:
        if found != expected:
            raise _refused(self.path, f"{member} was edited or damaged")


def checksum(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest without its checksum."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def digest(file: IO[bytes]) -> str:
    """SHA-256 of what is left in `file`."""
    found = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        found.update(block)
    return found.hexdigest()


def random_state(task: AbsTask) -> dict[str, Any]:
    """The state of the generators of `task`, which loading may have moved, as JSON."""
    version, words, gauss = task.rng_state.getstate()
    return {"python": [version, list(words), gauss], "numpy": task.np_rng.bit_generator.state}


def set_random_state(task: AbsTask, state: Mapping[str, Any]) -> None:
    """Put the generators of `task` into `state`."""
    version, words, gauss = state["python"]
    task.rng_state.setstate((version, tuple(words), gauss))
    task.np_rng.bit_generator.state = state["numpy"]


def _unpack(file: IO[bytes], path: Path) -> None:
    """Parquet to an Arrow stream, which is read from disk by need instead of being held in memory."""
    with (
        pq.ParquetFile(file) as source,
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_stream(sink, source.schema_arrow) as writer,
    ):
        for batch in source.iter_batches():
            writer.write_batch(batch)


def _nested(parts: Mapping[Part, Any]) -> dict[str, Any]:
    """The parts in the shape that mteb loads them in: splits that are single tables in a `DatasetDict`."""
    inner: dict[str, dict[Part, Any]] = {}
    for names, value in parts.items():
        inner.setdefault(names[0], {})[names[1:]] = value
    tree = {name: below[()] if () in below else _nested(below) for name, below in inner.items()}
    return DatasetDict(tree) if all(isinstance(value, Dataset) for value in tree.values()) else tree


def _refused(path: Path, reason: str) -> ValueError:
    return ValueError(f"{path}: {reason}; copy it again, or make a new one with `zoo bench pack`")


def _listed(names: Sequence[str], shown: int = 20) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "none") + more
