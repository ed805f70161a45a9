"""The embedded corpus: definitions of installed packages, parsed once, near-duplicates removed, split by module."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from tqdm import tqdm

from zoo.data import near_duplicates, pydoc_parser, pydoc_sources
from zoo.data.cache import atomic_path, building, cache_root, content_key, write_json
from zoo.data.pydoc_sources import STDLIB, SourceFile, find_sources

SPLITS = ("train", "validation", "test")
DEFAULT_PACKAGES = (STDLIB, "numpy", "scipy", "sklearn", "torch", "transformers")

_CHUNK_BYTES = 1_500_000  # of source a parser process gets at once, about a second of work
_COLUMNS = ("package", "module", "qualified_name", "docstring", "summary", "code")
_NEW_COLUMNS = ("id", "split", "keep_docstring", "keep_code", "keep_pair")


@dataclass(frozen=True)
class PydocPair:
    """A sentence about a function or class, and its code.

    Args:
        id: `module:qualified_name`, unique in the corpus and the same from run to run.
        package: top-level package, or `stdlib`.
        module: dotted module name.
        qualified_name: name within the module; the n-th definition of one name ends in `#n`.
        summary: first sentence of the docstring.
        code: source without docstrings; of a class its header, fields and method signatures.
        docstring: the whole docstring, without indentation.
    """

    id: str
    package: str
    module: str
    qualified_name: str
    summary: str
    code: str
    docstring: str


@dataclass(frozen=True)
class PydocSplits:
    """The parsed corpus.

    Args:
        path: parquet file of all definitions.
        packages: what it was made of.
        content_hash: hash of everything that `pairs` and `texts` can give, the splits included.
        counts: numbers of modules, pairs and texts by split, and of definitions dropped as near-duplicates.
    """

    path: Path
    packages: tuple[str, ...]
    content_hash: str
    counts: dict[str, Any]

    def pairs(self, split: str) -> list[PydocPair]:
        """Distinct (summary, code) pairs of `split`, sorted by module and place in it."""
        return [
            PydocPair(*(row[name] for name in PydocPair.__dataclass_fields__))
            for row in self._rows(split)
            if row["keep_pair"]
        ]

    def texts(self, split: str) -> list[str]:
        """Language-model text of `split`: each docstring and each code is a document of its own."""
        return list(_texts(self._rows(split)))

    def _rows(self, split: str) -> list[dict[str, Any]]:
        if split not in SPLITS:
            raise ValueError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}")
        return self._by_split[split]

    @cached_property
    def _by_split(self) -> dict[str, list[dict[str, Any]]]:
        rows = pq.read_table(self.path).to_pylist()
        return {split: [row for row in rows if row["split"] == split] for split in SPLITS}


def load_pydoc(packages: Sequence[str] | None = None, cache_dir: str | Path | None = None) -> PydocSplits:
    """Parse `packages`, or read what was parsed before from the cache.

    Modules, not definitions, are split: a hash of the dotted module name gives 90% to training and 5% each to
    validation and test, so that a module has the same split in every corpus. Of near-duplicates (similarity of .8 and
    more) one is kept, in test before validation before training. The result is the same for every number of processors.

    Args:
        packages: `"stdlib"` and top-level import names; None takes those of `DEFAULT_PACKAGES` that are installed.
        cache_dir: root of the caches, see `zoo.data.cache.cache_root`.

    Raises:
        ValueError: if a package is unknown (the nearest installed one is named), has no Python source, or nothing in
            the corpus is documented.
    """
    names = tuple(dict.fromkeys(packages)) if packages is not None else _installed_defaults()
    if not names:
        raise ValueError(f"data.packages is empty: name at least one package, such as {STDLIB!r}")
    sources = {name: find_sources(name) for name in names}
    # Another parser finds other definitions: its own source is a part of what it made.
    tools = (__file__, pydoc_parser.__file__, pydoc_sources.__file__, near_duplicates.__file__)
    version = content_key(*(Path(tool).read_bytes() for tool in tools))
    keys = {name: content_key(version, *(file.key for file in files)) for name, files in sources.items()}
    folder = cache_root(cache_dir) / "pydoc"
    key = content_key(*(part for name in sorted(keys) for part in (name, keys[name])))
    path, facts = folder / f"{key}.parquet", folder / f"{key}.json"
    if not facts.exists():
        with building(folder):
            if not facts.exists():
                _parse_missing(folder, sources, keys)
                _assemble(path, facts, {name: folder / f"{name}-{keys[name]}.parquet" for name in sorted(keys)})
    found = json.loads(facts.read_text(encoding="utf-8"))
    return PydocSplits(path, tuple(sorted(names)), found["content_hash"], found["counts"])


def _installed_defaults() -> tuple[str, ...]:
    return tuple(name for name in DEFAULT_PACKAGES if name == STDLIB or importlib.util.find_spec(name) is not None)


def _parse_missing(folder: Path, sources: dict[str, list[SourceFile]], keys: dict[str, str]) -> None:
    """Parse the packages that no earlier corpus parsed; each is kept as soon as it is complete."""
    missing = {name: folder / f"{name}-{keys[name]}.parquet" for name in sources}
    missing = {name: path for name, path in missing.items() if not path.exists()}
    total = sum(len(sources[name]) for name in missing)
    with tqdm(total=total, desc="parsing packages", unit="file", disable=None) as progress:
        for name, path in missing.items():
            records = []
            for file_records in _parse(sources[name]):
                records += [{"package": name, **record} for record in file_records]
                progress.update()
            schema = pa.schema([(column, pa.string()) for column in _COLUMNS])
            with atomic_path(path) as partial:
                pq.write_table(pa.Table.from_pylist(records, schema=schema), partial, compression="zstd")


def _parse(files: list[SourceFile]) -> Iterator[list[dict[str, Any]]]:
    """Definitions of each file, in order.

    The parsers are programs, not `multiprocessing` workers: a worker would import this package with all of Lightning,
    and would run the main script of a user who has no `__main__` guard a second time.
    """
    chunks: list[list[SourceFile]] = [[]]
    size = 0
    for file in files:
        chunks[-1].append(file)
        size += file.path.stat().st_size
        if size > _CHUNK_BYTES:
            chunks.append([])
            size = 0
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for parsed in pool.map(_parse_chunk, chunks):
            yield from parsed


def _parse_chunk(files: list[SourceFile]) -> list[list[dict[str, Any]]]:
    if not files:
        return []
    request = json.dumps([(file.module, str(file.path)) for file in files])
    command = [sys.executable, "-I", pydoc_parser.__file__]
    result = subprocess.run(command, input=request, capture_output=True, text=True, encoding="utf-8", check=False)
    if result.returncode != 0:
        reason = result.stderr.strip().splitlines()[-1:] or [f"exit status {result.returncode}"]
        raise RuntimeError(f"the parser failed between {files[0].path} and {files[-1].path}: {reason[0]}")
    return [json.loads(line) for line in result.stdout.split("\n") if line]


def _assemble(path: Path, facts: Path, packages: dict[str, Path]) -> None:
    """Split, remove near-duplicates, and store the corpus."""
    rows = pa.concat_tables(pq.read_table(file) for file in packages.values()).to_pylist()
    for row in rows:
        row["id"] = f"{row['module']}:{row['qualified_name']}"
        row["split"] = _split_of(row["module"])
    # Stable, so that the definitions of a module stay in the order of its text. One module may be in two packages.
    rows.sort(key=lambda row: row["module"])
    rows = list({row["id"]: row for row in rows}.values())
    _mark_kept(rows)
    counts = _counts(rows)
    if counts["train"]["texts"] == 0:
        raise ValueError(f"nothing in {', '.join(packages)} is documented: add a package, such as {STDLIB!r}")
    schema = pa.schema(
        [(name, pa.bool_() if name.startswith("keep") else pa.string()) for name in (*_COLUMNS, *_NEW_COLUMNS)]
    )
    with atomic_path(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), partial, compression="zstd")
    write_json(facts, {"content_hash": _content_hash(rows), "counts": counts, "packages": list(packages)})


def _split_of(module: str) -> str:
    percent = xxhash.xxh3_64_intdigest(module.encode()) % 100
    return "train" if percent < 90 else "validation" if percent < 95 else "test"


def _mark_kept(rows: list[dict[str, Any]]) -> None:
    order = sorted(range(len(rows)), key=lambda index: -SPLITS.index(rows[index]["split"]))
    for column in ("docstring", "code"):
        filled = [index for index in order if rows[index][column]]
        dropped = near_duplicates.near_duplicates([rows[index][column] for index in filled])
        kept = set(np.array(filled)[~dropped].tolist()) if filled else set()
        for index, row in enumerate(rows):
            row[f"keep_{column}"] = index in kept
    for row in rows:
        row["keep_pair"] = bool(row["summary"]) and row["keep_code"]


def _texts(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        if row["keep_docstring"]:
            yield row["docstring"]
        if row["keep_code"]:
            yield row["code"]


def _counts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for split in SPLITS:
        members = [row for row in rows if row["split"] == split]
        texts = list(_texts(members))
        counts[split] = {
            "modules": len({row["module"] for row in members}),
            "pairs": sum(row["keep_pair"] for row in members),
            "texts": len(texts),
            "bytes": sum(len(text.encode()) for text in texts),
        }
    counts["near_duplicate_docstrings"] = sum(not row["keep_docstring"] for row in rows)
    counts["near_duplicate_codes"] = sum(bool(row["code"]) and not row["keep_code"] for row in rows)
    return counts


def _content_hash(rows: list[dict[str, Any]]) -> str:
    return content_key(*(str(row[name]) for row in rows for name in (*_COLUMNS, *_NEW_COLUMNS)))
