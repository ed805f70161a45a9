from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench import index
from bench.records import DataCheck, Record, write

NewRecord = Callable[..., Record]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the records that are read in full."""
    seen: list[str] = []
    real = index._entry

    def entry(path: str, root: Path) -> index.Entry:
        seen.append(path)
        return real(path, root)

    monkeypatch.setattr(index, "_entry", entry)
    return seen


def test_only_what_changed_is_read_again(tmp_path: Path, new_record: NewRecord, reads: list[str]) -> None:
    paths = [write(new_record("m", task, main=0.25), tmp_path) for task in ("T1", "T2")]
    first = index.entries(tmp_path)
    assert [(e.model, e.task, e.main) for e in first] == [("m", "T1", 0.25), ("m", "T2", 0.25)]
    reads.clear()
    assert index.entries(tmp_path) == first
    assert reads == []
    write(new_record("m", "T2", main=0.75), tmp_path)
    os.utime(paths[1], ns=(1, 1))
    assert [e.main for e in index.entries(tmp_path)] == [0.25, 0.75]
    assert reads == [str(paths[1])]


def test_a_record_that_is_gone_is_forgotten(tmp_path: Path, new_record: NewRecord) -> None:
    path = write(new_record("m", "T1"), tmp_path)
    write(new_record("m", "T2"), tmp_path)
    index.entries(tmp_path)
    path.unlink()
    assert [e.task for e in index.entries(tmp_path)] == ["T2"]


def test_unusable_files_are_entries_with_their_problem(tmp_path: Path, new_record: NewRecord) -> None:
    path = write(new_record(), tmp_path)
    path.write_text("{")
    for _ in range(2):
        (entry,) = index.entries(tmp_path)
        assert "delete it and run" in entry.problem
        assert entry.model == ""


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 1, "files": {"a": [1]}}', '{"version": 0, "files": {}}']
)
def test_a_damaged_index_costs_nothing_but_time(tmp_path: Path, new_record: NewRecord, content: str) -> None:
    write(new_record(), tmp_path)
    (tmp_path / index.NAME).write_text(content)
    assert [e.task for e in index.entries(tmp_path)] == ["PydocRetrieval"]
    assert (tmp_path / index.NAME).read_text() != content


def test_failures_and_the_index_are_no_records(tmp_path: Path, new_record: NewRecord) -> None:
    path = write(new_record(), tmp_path)
    (path.parent / "T.failed.json").write_text("{}")
    (tmp_path / ".hidden" / "x").mkdir(parents=True)
    (tmp_path / ".hidden" / "x" / "y.json").write_text("{}")
    assert len(index.entries(tmp_path)) == 1


def test_data_that_deviates_is_told(tmp_path: Path, record: Record) -> None:
    write(replace(record, task=replace(record.task, check=DataCheck("deviates", "2 rows less"))), tmp_path)
    assert index.entries(tmp_path)[0].deviates == "2 rows less"
