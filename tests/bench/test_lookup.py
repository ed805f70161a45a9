from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import lookup
from bench.records import Record, path_of, write


def test_the_same_weights_data_and_scoring_are_a_hit(tmp_path: Path, record: Record) -> None:
    write(record, tmp_path)
    assert lookup.find(record.model, record.task, tmp_path) == lookup.Found(record)


@pytest.mark.parametrize("part", ["weights", "dtype"])
def test_a_changed_part_of_the_model_is_a_miss_that_names_it(tmp_path: Path, record: Record, part: str) -> None:
    write(record, tmp_path)
    changed = replace(record.model, parts={**record.model.parts, part: "other"})
    found = lookup.find(changed, record.task, tmp_path)
    assert found.record is None
    assert found.reason == f"changed since it was scored: model's {part}"


@pytest.mark.parametrize("part", ["revision", "rows", "split", "subset", "scoring"])
def test_a_changed_part_of_the_task_is_a_miss_that_names_it(tmp_path: Path, record: Record, part: str) -> None:
    write(record, tmp_path)
    changes: dict[str, Any] = {part: "other"}
    found = lookup.find(record.model, replace(record.task, **changes), tmp_path)
    assert found.record is None
    assert found.reason == f"changed since it was scored: task's {part}"


def test_the_nearest_record_explains_a_miss(tmp_path: Path, record: Record) -> None:
    write(record, tmp_path)
    near = replace(record.model, parts={**record.model.parts, "weights": "other"})
    write(replace(record, model=near), tmp_path)
    wanted = replace(near, parts={**near.parts, "dtype": "bfloat16"})
    assert lookup.find(wanted, record.task, tmp_path).reason == "changed since it was scored: model's dtype"


def test_nothing_like_it_is_a_miss_without_a_reason(tmp_path: Path, record: Record) -> None:
    write(record, tmp_path)
    other = replace(record.model, name="another", parts={"weights": "x"})
    assert lookup.find(other, record.task, tmp_path) == lookup.Found(None)


def test_a_damaged_record_in_the_place_is_an_error(tmp_path: Path, record: Record) -> None:
    write(record, tmp_path)
    path_of(tmp_path, record.model, record.task).write_text("{")
    with pytest.raises(ValueError, match="not a valid record"):
        lookup.find(record.model, record.task, tmp_path)
