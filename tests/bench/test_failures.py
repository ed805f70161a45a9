from __future__ import annotations

from pathlib import Path

from bench import failures
from bench.records import Record, load_all, write


def test_a_failure_is_kept_until_the_cell_is_done(tmp_path: Path, record: Record) -> None:
    failures.note(tmp_path, record.model.name, record.model, "T1", "out of memory")
    failures.note(tmp_path, record.model.name, None, "T1", "truncated checkpoint")
    found = {failure.revision: failure for failure in failures.load_all(tmp_path)}
    assert found[record.model.revision[:12]].reason == "out of memory"
    assert found["unopened"].task == "T1"
    write(record, tmp_path)
    assert len(load_all(tmp_path)[0]) == 1, "a failure must never be taken for a record"
    assert not load_all(tmp_path)[1]
    failures.clear(tmp_path, record.model, "T2")
    assert len(failures.load_all(tmp_path)) == 2
    failures.clear(tmp_path, record.model, "T1")
    assert failures.load_all(tmp_path) == []


def test_damaged_ones_and_folders_that_cannot_be_written_stop_nothing(tmp_path: Path, record: Record) -> None:
    failures.note(tmp_path, "m", record.model, "T1", "why")
    next(tmp_path.rglob("*.json")).write_text("{")
    assert failures.load_all(tmp_path) == []
    (tmp_path / "file").write_text("")
    failures.note(tmp_path / "file", "m", record.model, "T1", "why")
