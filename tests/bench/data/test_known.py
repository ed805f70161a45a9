from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.data.known import KnownRows
from bench.records import DataCheck, TaskInfo

INFO = TaskInfo(
    name="T",
    type="STS",
    suite="mteb",
    dataset="owner/name",
    revision="r1",
    split="test",
    subset="default",
    metric="spearman",
    higher_is_better=True,
    languages=("eng-Latn",),
    scoring="mteb 2.26.24",
)
LOADED = replace(INFO, rows="abc", check=DataCheck("deviates", "2 rows less"))


def test_rows_are_known_after_they_were_loaded_once(tmp_path: Path) -> None:
    KnownRows(tmp_path).remember(LOADED)
    assert KnownRows(tmp_path).complete(INFO) == LOADED


@pytest.mark.parametrize("part", ["revision", "split", "subset", "scoring"])
def test_other_data_is_not_known(tmp_path: Path, part: str) -> None:
    KnownRows(tmp_path).remember(LOADED)
    changes: dict[str, Any] = {part: "other"}
    other = replace(INFO, **changes)
    assert KnownRows(tmp_path).complete(other) == other


@pytest.mark.parametrize("content", ["", "{}", '{"rows": "a", "check": 1}', '{"rows": "a", "check": {"x": 1}}'])
def test_a_damaged_file_means_loading_again(tmp_path: Path, content: str) -> None:
    KnownRows(tmp_path).remember(LOADED)
    next(tmp_path.iterdir()).write_text(content)
    assert KnownRows(tmp_path).complete(INFO) == INFO


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    KnownRows(tmp_path / "file").remember(LOADED)
