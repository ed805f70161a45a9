from __future__ import annotations

from pathlib import Path

from bench import records
from bench.speed import status


def test_records_are_real_and_all_different(tmp_path: Path) -> None:
    for record in status.fake_records(status.TASKS_PER_MODEL + 5):
        records.write(record, tmp_path)
    found, problems = records.load_all(tmp_path)
    assert problems == []
    assert len(found) == status.TASKS_PER_MODEL + 5
    assert len({record.model.revision for record in found}) == 2


def test_the_command_is_run_cold_and_warm() -> None:
    found = status.measure(count=8, rounds=1)
    assert found.cold > 0
    assert len(found.warm) == 1
    assert found.median == found.warm[0] > 0
