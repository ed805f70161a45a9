from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mteb
import pytest
from datasets import Dataset, DatasetDict

from bench.data import check as checking
from bench.data.check import check
from bench.data.loading import load
from bench.data.rows import hash_rows
from bench.records import DataCheck

ROWS: dict[str, list[Any]] = {
    "sentence1": ["a red horse", "a blue cat", "tin"],
    "sentence2": ["a red horse", "tin", "a blue cat"],
    "score": [5.0, 0.5, 0.5],
}


def sts(rows: dict[str, list[Any]] | None = None) -> Any:
    task = mteb.get_task("STSBenchmark")
    task.dataset, task.data_loaded = DatasetDict({"test": Dataset.from_dict(rows or ROWS)}), True
    return task


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Statistics of `ROWS`, in the place of those that mteb ships; change them in place."""
    shipped = {"test": json.loads(json.dumps(sts()._calculate_descriptive_statistics_from_split("test")))}
    monkeypatch.setattr(type(sts().metadata), "descriptive_stats", property(lambda _: shipped))
    return shipped


def checked(task: Any, cache: Path) -> DataCheck:
    return check(task, hash_rows(task), cache)


def test_equal_statistics_are_official(official: dict[str, Any], tmp_path: Path) -> None:
    assert checked(sts(), tmp_path) == DataCheck("official")


def test_pairs_may_be_counted_as_mteb_once_did(official: dict[str, Any], tmp_path: Path) -> None:
    assert official["test"]["unique_pairs"] == 2
    official["test"]["unique_pairs"] = 3  # (a, b) and (b, a) are two
    assert checked(sts(), tmp_path / "a") == DataCheck("official")
    official["test"]["unique_pairs"] = 4
    assert checked(sts(), tmp_path / "b").status == "deviates"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sentence1": ["a red horse", "a blue cat", "tin "]}, "number_of_characters 49 for 48"),
        ({"score": [5.0, 0.5, 1.5]}, "label_statistics.avg_score 2.33"),
        ({"sentence2": ["a red horse", "tin", "a red hors"]}, "unique_pairs 3 for 2"),
    ],
)
def test_a_deviation_is_named(
    official: dict[str, Any], tmp_path: Path, changes: dict[str, list[Any]], named: str
) -> None:
    found = checked(sts({**ROWS, **changes}), tmp_path)
    assert found.status == "deviates"
    assert named in found.note


def test_only_the_first_few_are_named(official: dict[str, Any], tmp_path: Path) -> None:
    found = checked(sts({**ROWS, "sentence1": ["x", "y", "z"]}), tmp_path)
    assert found.note.endswith(", ...")
    assert found.note.count(" for ") == 3


def test_what_mteb_does_not_ship_is_unchecked(
    official: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sts().filter_eval_splits(["test", "validation"])
    other.dataset["validation"] = other.dataset["test"]
    found = checked(other, tmp_path / "a")
    assert (found.status, "of validation" in found.note) == ("unchecked", True)
    monkeypatch.setattr(type(sts().metadata), "descriptive_stats", property(lambda _: None))
    assert checked(sts(), tmp_path / "b").status == "unchecked"


def test_statistics_that_cannot_be_computed_are_unchecked(official: dict[str, Any], tmp_path: Path) -> None:
    task = sts({"text": ["a"], "score": [1.0]})
    found = checked(task, tmp_path)
    assert (found.status, "cannot be computed" in found.note) == ("unchecked", True)


def test_a_finding_is_computed_once(official: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = checked(sts(), tmp_path)
    monkeypatch.setattr(checking, "_compare", lambda _: DataCheck("deviates", "computed again"))
    assert checked(sts(), tmp_path) == first
    assert checked(sts({**ROWS, "score": [5.0, 0.5, 1.5]}), tmp_path).note == "computed again"
    for memo in tmp_path.rglob("*.json"):
        memo.write_text("{")
    assert checked(sts(), tmp_path).note == "computed again"


def test_the_task_is_left_as_it_was(
    official: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = sts()
    before, table = hash_rows(task), task.dataset["test"]
    checked(task, tmp_path)
    assert type(task.dataset["test"]) is type(table) is Dataset
    assert hash_rows(task) == before
    assert capsys.readouterr().err == ""  # no progress bars


def test_data_of_our_own_is_loaded_without_the_hub(tmp_path: Path) -> None:
    task = sts()
    task.metadata = task.metadata.model_copy(update={"dataset": {"path": "embedded", "revision": "1"}})
    loaded = load(task, cache_dir=tmp_path)
    assert (loaded.rows, loaded.check.status) == (hash_rows(task), "unchecked")
    assert not list(tmp_path.iterdir())
