"""Whether loaded data is the official one: compared with the exact statistics that mteb ships with its tasks."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mteb
from datasets import Dataset
from datasets.arrow_dataset import Column

from bench.data.rows import splits_of
from bench.records import DataCheck
from zoo.data.cache import cache_root, content_key, write_json

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

_SHOWN = 3
_BY_SUBSET = "hf_subset_descriptive_stats"

Differences = list[tuple[str, Any, Any]]


def check(task: AbsTask, rows: str, cache_dir: str | Path | None = None) -> DataCheck:
    """Compare the loaded data of `task` with the counts, lengths and label statistics that mteb ships for it.

    The finding is kept on disk by the hash of the rows, so that the statistics of one data set are computed once.

    Args:
        task: an mteb task whose data is loaded and has not been scored yet.
        rows: `bench.data.rows.hash_rows(task)`.
        cache_dir: where findings are kept; None takes the usual cache.

    Returns:
        `official` if every statistic is the same, `deviates` with the first few that are not, or `unchecked` with the
        reason.
    """
    key = content_key(task.metadata.name, *task.hf_subsets, rows, version("mteb"))
    memo = cache_root(cache_dir) / "checks" / f"{key}.json"
    known = _read(memo)
    if known is None:
        known = _compare(task)
        write_json(memo, {"status": known.status, "note": known.note})
    return known


def _read(memo: Path) -> DataCheck | None:
    try:
        return DataCheck(**json.loads(memo.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # absent, or damaged: found again by computing
        return None


def _compare(task: AbsTask) -> DataCheck:
    official = task.metadata.descriptive_stats
    if not official:
        return DataCheck("unchecked", f"mteb {version('mteb')} ships no statistics of this task")
    task = copy.copy(task)
    task.dataset = _in_lists(task.dataset)
    differences: Differences = []
    compared, missing = 0, []
    for split in splits_of(task, _any_subset(task)):
        for subset, expected in _expected(task, official, split):
            where = "/".join(part for part in (split, subset) if part)
            if expected is None:
                missing += [where] if split in task.eval_splits else []
                continue
            try:
                found = _statistics(task, split, subset, expected)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                return DataCheck("unchecked", f"the statistics of {where} cannot be computed: {error!r}")
            both = [name for name in expected if name in found]
            compared += len(both)
            differences += [
                (f"{where} {name}", found[name], expected[name])
                for name in both
                if not _same(found[name], expected[name])
            ]
    return _verdict(differences, compared, missing)


def _verdict(differences: Differences, compared: int, missing: list[str]) -> DataCheck:
    if differences:
        shown = ", ".join(f"{name} {found} for {expected}" for name, found, expected in differences[:_SHOWN])
        more = ", ..." if len(differences) > _SHOWN else ""
        plural = "statistics differ" if len(differences) > 1 else "statistic differs"
        return DataCheck("deviates", f"{len(differences)} {plural}: {shown}{more}")
    if missing or not compared:
        where = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        return DataCheck("unchecked", f"mteb {version('mteb')} ships no statistics of {where or 'this data'}")
    return DataCheck("official")


class _Lists(Dataset):  # type: ignore[misc]
    """A table whose columns are lists.

    The columns of `datasets` are read row by row, which costs ten times as much as the statistics themselves.
    """

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self.select_columns([key]).with_format(None)[:][key]
        return super().__getitem__(key)


def _in_lists(data: Any) -> Any:
    if isinstance(data, Dataset):
        table = copy.copy(data)
        table.__class__ = _Lists
        return table
    if isinstance(data, Mapping):
        return {name: _in_lists(inner) for name, inner in data.items()}
    if isinstance(data, list):
        return [_in_lists(inner) for inner in data]
    return data[:] if isinstance(data, Column) else data


def _any_subset(task: AbsTask) -> Mapping[str, Any]:
    data: Mapping[str, Any] = task.dataset
    return next((data[subset] for subset in task.hf_subsets if subset in data), data)


def _expected(
    task: AbsTask, official: Mapping[str, Any], split: str
) -> Iterator[tuple[str | None, dict[str, Any] | None]]:
    """Official statistics by subset (None where the task has none) as flat names; None where mteb ships none."""
    of_split = official.get(split)
    if not task.metadata.is_multilingual:
        yield None, None if of_split is None else dict(_flat(of_split))
        return
    by_subset = (of_split or {}).get(_BY_SUBSET) or {}
    for subset in task.hf_subsets:
        yield subset, dict(_flat(by_subset[subset])) if subset in by_subset else None


def _statistics(task: AbsTask, split: str, subset: str | None, expected: Mapping[str, Any]) -> dict[str, Any]:
    with _silent():
        found = dict(_flat(task._calculate_descriptive_statistics_from_split(split, hf_subset=subset)))
    pairs = expected.get("unique_pairs")
    if pairs not in (None, found.get("unique_pairs")) and task.metadata.type != "BitextMining":
        found["unique_pairs"] = pairs if pairs == _ordered_pairs(task, split, subset) else found["unique_pairs"]
    return found


def _ordered_pairs(task: AbsTask, split: str, subset: str | None) -> int:
    """Different pairs, (a, b) and (b, a) counted apart.

    mteb counts them as one since some version, but ships statistics from before.
    """
    data = task.dataset[subset][split] if subset else task.dataset[split]
    if len(data) == 1:
        data = data[0]
    names = getattr(task, "column_names", None) or (task.input1_column_name, task.input2_column_name)
    return len(set(zip(*(data[name] for name in names), strict=True)))


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if name == _BY_SUBSET or inner is None:
            continue
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def _same(found: Any, expected: Any) -> bool:
    if isinstance(found, int | float) and isinstance(expected, int | float):
        return math.isclose(found, expected, rel_tol=1e-6)
    return list(found) == list(expected) if isinstance(found, tuple) else bool(found == expected)


@contextmanager
def _silent() -> Iterator[None]:
    """Without the progress bars that mteb draws over texts, and has no switch for."""
    hashes = mteb._content_hashes
    drawn, hashes.tqdm = hashes.tqdm, lambda items, **_: items
    try:
        yield
    finally:
        hashes.tqdm = drawn
