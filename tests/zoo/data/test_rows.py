from __future__ import annotations

import functools
import logging
import operator
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.data.corpus import SPLITS
from zoo.data.rows import SplitRows, open_rows

Write = Callable[[str, list[str]], Path]


def texts(rows: SplitRows, split: str) -> list[str]:
    return [text for (text,) in rows.readers[split]()]


def test_names_of_files_say_their_split(write_lines: Write) -> None:
    folder = write_lines("my-train-0.txt", ["a"]).parent
    write_lines("my-train-1.txt", ["b"])
    write_lines("dev.txt", ["c"])
    write_lines("test.txt", ["d"])
    for path in (str(folder), f"{folder}/*.txt"):
        rows = open_rows(path, None, ["text"])
        assert [texts(rows, split) for split in SPLITS] == [["a", "b"], ["c"], ["d"]]
        assert rows.cut == ()


def test_missing_splits_are_cut_by_the_hash_of_the_row(write_lines: Write, caplog: pytest.LogCaptureFixture) -> None:
    lines = [f"row {n}" for n in range(1000)]
    path = write_lines("all.txt", lines * 2)
    with caplog.at_level(logging.WARNING):
        rows = open_rows(str(path), None, ["text"])
    assert "no validation and no test split" in caplog.text
    parts = [texts(rows, split) for split in SPLITS]
    assert sorted(functools.reduce(operator.iadd, parts, [])) == sorted(lines * 2)
    assert all(set(a).isdisjoint(b) for a, b in zip(parts, parts[1:] + parts[:1], strict=True))
    assert 30 * 2 < len(parts[1]) < 75 * 2
    assert rows.cut == ("validation", "test")


def test_hash_changes_with_content_and_split(write_lines: Write) -> None:
    folder = write_lines("train.txt", ["a", "b"]).parent
    write_lines("valid.txt", ["c"])
    write_lines("test.txt", ["d"])
    first = open_rows(str(folder), None, ["text"]).content_hash
    assert open_rows(str(folder), None, ["text"]).content_hash == first
    write_lines("test.txt", ["e"])
    assert open_rows(str(folder), None, ["text"]).content_hash != first


def test_empty_split(write_lines: Write) -> None:
    path = write_lines("train.txt", [])
    with pytest.raises(ValueError, match=r"the train split of .* is empty"):
        open_rows(str(path), None, ["text"])


def test_no_training_rows(write_lines: Write) -> None:
    with pytest.raises(ValueError, match="has no train split"):
        open_rows(str(write_lines("test.txt", ["a"])), None, ["text"])


@pytest.mark.parametrize(
    ("name", "message"),
    [("trian.txt", r"did you mean .*train\.txt"), ("*.csv", "no file matches"), ("nowhere/x.txt", "correct the path")],
)
def test_missing_files(write_lines: Write, name: str, message: str) -> None:
    folder = write_lines("train.txt", ["a"]).parent
    with pytest.raises(FileNotFoundError, match=message):
        open_rows(str(folder / name), None, ["text"])


def test_unreadable_file(write_lines: Write, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no \.txt"):
        open_rows(str(tmp_path / "empty"), None, ["text"])
