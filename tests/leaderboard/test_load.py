from __future__ import annotations

from pathlib import Path

import pytest

from bench.records import Record
from leaderboard.load import load


def test_reads_every_record(results: Path, sample: list[Record]) -> None:
    loaded = load(results)
    assert len(loaded.records) == len(sample)
    assert all(record in loaded.records for record in sample)
    assert loaded.refused == ()


def test_refused_files_carry_place_and_reason_without_the_folder(results: Path) -> None:
    path = next(results.glob("full/*/PydocBits.*.json"))
    path.write_text(path.read_text(encoding="utf-8").replace("1.25", "0.25"), encoding="utf-8")
    path.with_name("Cut.json").write_bytes(path.read_bytes()[:100])
    path.with_name("Moved.json").write_bytes(next(path.parent.glob("PydocRetrieval.*.json")).read_bytes())
    refused = {Path(refusal.file).name: refusal.reason for refusal in load(results).refused}
    assert "checksum" in refused[path.name]
    assert "not a valid record" in refused["Cut.json"]
    assert "belongs at full/" in refused["Moved.json"]
    assert not any(str(results) in reason for reason in refused.values())


def test_folder_without_records_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no records .* make some with `zoo bench run`"):
        load(tmp_path)


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no results folder here"):
        load(tmp_path / "nowhere")


def test_only_refused_files_is_an_error_that_gives_the_first_reason(tmp_path: Path) -> None:
    path = tmp_path / "model" / "0123456789ab" / "Task.json"
    path.parent.mkdir(parents=True)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match=r"none of 1 files is a usable record; model/0123456789ab/Task.json: .*object"):
        load(tmp_path)
