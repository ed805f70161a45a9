from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.records import DataCheck, Interval, Record, Scores, load_all, path_of, read, write
from bench.records.files import _checksum

MakeRecord = Callable[..., Record]


def edit(path: Path, change: Callable[[dict[str, Any]], None], *, resign: bool = False) -> None:
    body = json.loads(path.read_text())
    change(body)
    if resign:
        body.pop("checksum")
        body["checksum"] = _checksum(body)
    path.write_text(json.dumps(body))


def test_a_record_comes_back_as_it_was_written(tmp_path: Path, record: Record) -> None:
    path = write(record, tmp_path)
    assert path == path_of(tmp_path, record.model, record.task)
    assert read(path) == record
    assert [p.name for p in path.parent.iterdir()] == [f"PydocRetrieval.{record.task.key}.json"]


def test_the_same_record_gives_the_same_bytes(tmp_path: Path, record: Record) -> None:
    assert write(record, tmp_path / "a").read_bytes() == write(record, tmp_path / "b").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="only finite numbers"):
        Scores(value, {})
    with pytest.raises(ValueError, match="'ap' is"):
        Scores(0.5, {"ap": value})


def test_what_is_no_json_is_refused_by_name(tmp_path: Path, record: Record) -> None:
    broken = replace(record, model=replace(record.model, config={"lr": float("inf")}))
    with pytest.raises(ValueError, match=r"PydocRetrieval\.\w{8}\.json: cannot be recorded"):
        write(broken, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_a_record_of_the_wrong_type_is_not_written(tmp_path: Path, record: Record) -> None:
    with pytest.raises(ValueError, match=r"evaluation\.texts_encoded must be int"):
        write(replace(record, evaluation=replace(record.evaluation, texts_encoded=1.5)), tmp_path)  # type: ignore[arg-type]


def test_a_model_without_parts_is_refused(record: Record) -> None:
    with pytest.raises(ValueError, match=r"parts is empty"):
        replace(record.model, parts={})


def test_a_revision_that_is_not_the_hash_of_the_parts_is_refused(tmp_path: Path, record: Record) -> None:
    path = write(record, tmp_path)
    edit(path, lambda body: body["model"]["parts"].update(weights="0"), resign=True)
    with pytest.raises(ValueError, match="not the hash"):
        read(path)


@pytest.mark.parametrize("part", ["revision", "rows", "split", "subset", "metric", "scoring"])
def test_other_data_or_other_scoring_has_a_place_of_its_own(tmp_path: Path, record: Record, part: str) -> None:
    changes: dict[str, Any] = {part: "other"}
    other = replace(record, task=replace(record.task, **changes))
    assert write(record, tmp_path) != write(other, tmp_path)
    assert len(load_all(tmp_path)[0]) == 2


def test_a_check_of_the_data_does_not_decide_the_place(record: Record) -> None:
    assert replace(record.task, check=DataCheck("deviates", "2 rows less")).key == record.task.key


@pytest.mark.parametrize(("low", "high"), [(0.6, 0.5), (float("nan"), 1.0), (0.0, float("inf"))])
def test_an_interval_has_two_ends_in_order(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="finite and in order"):
        Interval(low=low, high=high, level=0.95, method="bootstrap", unit="query", count=3)


def test_the_start_must_carry_its_offset(record: Record) -> None:
    with pytest.raises(ValueError, match="offset from UTC"):
        replace(record.evaluation, started="2026-01-02T03:04:05")


def test_an_edited_score_is_refused(tmp_path: Path, record: Record) -> None:
    path = write(record, tmp_path)
    edit(path, lambda body: body["scores"].update(main=0.99))
    with pytest.raises(ValueError, match=r"PydocRetrieval\.\w{8}\.json.*edited or cut off.*zoo bench run"):
        read(path)


@pytest.mark.parametrize("keep", [0, 1, 100, -5])
def test_a_truncated_record_is_refused(tmp_path: Path, record: Record, keep: int) -> None:
    path = write(record, tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="not a valid record"):
        read(path)


def test_invalid_utf8_is_refused(tmp_path: Path, record: Record) -> None:
    path = write(record, tmp_path)
    path.write_bytes(path.read_bytes().replace(b"full", b"f\xffll"))
    with pytest.raises(ValueError, match="not a valid record"):
        read(path)


def test_another_schema_is_refused(tmp_path: Path, record: Record) -> None:
    path = write(record, tmp_path)
    edit(path, lambda body: body.update(schema=1), resign=True)
    with pytest.raises(ValueError, match="schema is 1, this version reads 2"):
        read(path)


def test_an_unknown_key_is_refused(tmp_path: Path, record: Record) -> None:
    path = write(record, tmp_path)
    edit(path, lambda body: body["task"].update(seed=1), resign=True)
    with pytest.raises(ValueError, match=r"task must have exactly the keys .*'seed'"):
        read(path)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*another results folder") as caught:
        write(record, tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_record(
    tmp_path: Path, new_record: MakeRecord, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = write(new_record(main=0.5), tmp_path)

    def fail(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)):
        write(new_record(main=0.75), tmp_path)
    assert read(path).scores.main == 0.5
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_file_in_the_way_is_one_clear_error(tmp_path: Path, record: Record) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(OSError, match="cannot write the record"):
        write(record, tmp_path / "results")


def test_all_records_are_sorted_and_bad_files_named(tmp_path: Path, new_record: MakeRecord) -> None:
    for model, task, seed in [("b", "T1", 0), ("a", "T2", 0), ("a", "T1", 0), ("a", "T1", 1)]:
        write(new_record(model, task, seed), tmp_path)
    bad = write(new_record("a", "T3"), tmp_path)
    bad.write_text("{}")
    found, problems = load_all(tmp_path)
    assert len(found) == 4
    assert found == sorted(found, key=lambda r: (r.model.name, r.model.revision, r.task.name))
    assert [p.path for p in problems] == [bad]


def test_a_copied_record_is_not_counted_twice(tmp_path: Path, record: Record) -> None:
    path = write(record, tmp_path)
    copy = tmp_path / "full-copy" / path.parent.name / path.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())
    found, problems = load_all(tmp_path)
    assert found == [record]
    assert "belongs at" in problems[0].message


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="zoo bench run"):
        load_all(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["../../etc", "..", ".hidden", "a b\n", "owner/name", "ünïcode"])
def test_no_name_leaves_the_results_folder(tmp_path: Path, record: Record, name: str) -> None:
    renamed = replace(record, model=replace(record.model, name=name), task=replace(record.task, name=name))
    path = write(renamed, tmp_path)
    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert load_all(tmp_path)[0] == [renamed]
