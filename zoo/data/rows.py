"""Rows of the three splits of a data set, local or on the hub."""

from __future__ import annotations

import difflib
import glob
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from zoo.data.cache import content_key
from zoo.data.corpus import SPLITS
from zoo.data.files import Column, Row, check_columns, kind_of, names_of, read_rows, row_of

_SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitRows:
    """Rows by split; every function starts over when it is called again.

    Args:
        name: what the data is called in records.
        readers: one for each of train, validation and test.
        cut: splits that were cut off the training rows, because the data has none.
        content_hash: hash of the rows of all splits in their order.
    """

    name: str
    readers: Mapping[str, Callable[[], Iterator[Row]]]
    cut: tuple[str, ...]
    content_hash: str


def open_rows(path: str, config: str | None, columns: Sequence[Column]) -> SplitRows:
    """Find the splits of `path`, and cut off those that are missing.

    5% of the training rows each, chosen by a hash of the row, stand in for a missing validation or test split.

    Args:
        path: a file, folder or glob of txt, jsonl, csv, tsv or parquet files whose names say their split (`train`,
            `validation` or `dev`, `test`; files without such a word are training data), a folder in the layout of a
            hub data set, or a hub name.
        config: configuration of a hub data set, such as `wikitext-2-v1`.
        columns: columns that make a row.

    Raises:
        FileNotFoundError: if nothing is found at `path`.
        ValueError: if there are no training rows, or a column, file or configuration is not as it should be.
    """
    files = _local_files(path, config)
    readers = _file_readers(files, columns) if files else _dataset_readers(path, config, columns)
    if "train" not in readers:
        found = ", ".join(readers) or "none"
        raise ValueError(f"{path} has no train split (found: {found}): add one, or name another configuration")
    missing = tuple(split for split in SPLITS if split not in readers)
    if missing:
        _log.warning("%s has no %s split: 5%% of its training rows each take its place", path, " and no ".join(missing))
        whole = readers["train"]
        readers = {**readers, **{split: _part(whole, split, missing) for split in ("train", *missing)}}
    name = f"{path}/{config}" if config else path
    return SplitRows(name, readers, missing, _hash(name, readers))


def _hash(name: str, readers: Mapping[str, Callable[[], Iterator[Row]]]) -> str:
    digest = xxhash.xxh3_128()
    for split in SPLITS:
        empty = True
        for row in readers[split]():
            empty = False
            digest.update(content_key(split, *row).encode())
        if empty:
            raise ValueError(f"the {split} split of {name} is empty: use more data, or remove its file")
    return digest.hexdigest()


def _part(whole: Callable[[], Iterator[Row]], split: str, missing: Sequence[str]) -> Callable[[], Iterator[Row]]:
    """Rows of `whole` whose hash falls to `split`; equal rows are in one split."""
    return lambda: (row for row in whole() if _chosen(row, missing) == split)


def _chosen(row: Row, missing: Sequence[str]) -> str:
    percent = xxhash.xxh3_64_intdigest("\x1f".join(row).encode("utf-8", "replace")) % 100
    place = percent // 5
    return missing[place] if place < len(missing) else "train"


def _local_files(path: str, config: str | None) -> list[Path]:
    """Files that `path` means; none where it is a data set of the hub, or laid out like one."""
    expanded = Path(path).expanduser()
    if expanded.is_file():
        kind_of(expanded)
        return [expanded]
    if expanded.is_dir():
        return [] if config or (expanded / "README.md").is_file() else _known_files(expanded)
    if glob.has_magic(path):
        # Path.glob takes no absolute pattern.
        found = sorted(Path(name) for name in glob.glob(str(expanded), recursive=True))  # noqa: PTH207
        found = [file for file in found if file.is_file()]
        if not found:
            raise FileNotFoundError(f"no file matches {path}: correct the pattern")
        return found
    if not _HUB_NAME.fullmatch(path) or expanded.suffix in (".txt", ".jsonl", ".csv", ".tsv", ".parquet"):
        siblings = [entry.name for entry in expanded.parent.iterdir()] if expanded.parent.is_dir() else []
        near = difflib.get_close_matches(expanded.name, siblings, n=1)
        hint = f"did you mean {expanded.parent / near[0]}?" if near else "correct the path"
        raise FileNotFoundError(f"there is no file or folder {path}: {hint}")
    return []


def _known_files(folder: Path) -> list[Path]:
    endings = (".txt", ".jsonl", ".csv", ".tsv", ".parquet")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in endings)
    if not files:
        raise FileNotFoundError(f"folder {folder} holds no {', '.join(endings)} file: correct the path")
    return files


def _file_readers(files: list[Path], columns: Sequence[Column]) -> dict[str, Callable[[], Iterator[Row]]]:
    by_split: dict[str, list[Path]] = {}
    for file in files:
        by_split.setdefault(_split_of_name(file), []).append(file)

    def reader(members: list[Path]) -> Callable[[], Iterator[Row]]:
        return lambda: (row for file in members for row in read_rows(file, columns))

    return {split: reader(members) for split, members in by_split.items()}


def _split_of_name(file: Path) -> str:
    words = re.split(r"[^a-z]+", file.stem.lower())
    return next((split for split, names in _SPLIT_WORDS.items() if set(names) & set(words)), "train")


def _dataset_readers(
    path: str, config: str | None, columns: Sequence[Column]
) -> dict[str, Callable[[], Iterator[Row]]]:
    import datasets

    try:
        found = datasets.load_dataset(str(Path(path).expanduser()) if Path(path).is_dir() else path, config)
    except Exception as error:  # the library, the hub and the transport raise errors of many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        kind = ValueError if isinstance(error, ValueError) else FileNotFoundError
        raise kind(f"cannot load data set {path!r} (configuration {config!r}): {reason}") from error

    def reader(split: Any) -> Callable[[], Iterator[Row]]:
        check_columns(columns, split.column_names, path)
        names = names_of(columns)
        chosen = split.select_columns(list(dict.fromkeys(names)))

        def rows() -> Iterator[Row]:
            number = 0
            for batch in chosen.iter(batch_size=4096):
                for values in zip(*(batch[name] for name in names), strict=True):
                    number += 1
                    yield row_of(values, columns, f"{path} row {number}")

        return rows

    return {split: reader(found[split]) for split in SPLITS if split in found}
