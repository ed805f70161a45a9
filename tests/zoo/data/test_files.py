from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zoo.data.files import read_rows

ROWS = [("q, one", 'doc "1"'), ("q two", "line\nbreak"), ("ünï", "戦場")]


def write(path: Path, kind: str) -> Path:
    path = path / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps({"b": b, "a": a}) + "\n\n" for a, b in ROWS), encoding="utf-8")
    elif kind == "csv":
        fields = [",".join('"' + value.replace('"', '""') + '"' for value in row) for row in [("a", "b"), *ROWS]]
        path.write_text("\ufeff" + "\n".join(fields), encoding="utf-8")
    else:
        pq.write_table(pa.table({"a": [a for a, _ in ROWS], "b": [b for _, b in ROWS]}), path)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_reads_the_same_rows_from_each_kind(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    assert list(read_rows(path, ["a", "b"])) == ROWS
    assert list(read_rows(path, ["b"])) == [(b,) for _, b in ROWS]
    with pytest.raises(ValueError, match=r"no column 'aa': the nearest is 'a'"):
        list(read_rows(path, ["aa"]))


def test_lines_of_text(write_lines: Callable[[str, list[str]], Path]) -> None:
    path = write_lines("t.txt", ["one", "", " two "])
    assert list(read_rows(path, ["text"])) == [("one",), ("",), (" two ",)]
    with pytest.raises(ValueError, match="no column 'txt': the nearest is 'text'"):
        list(read_rows(path, ["txt"]))


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv"])
def test_invalid_utf8_names_file_and_byte(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"bad.{kind}"
    path.write_bytes(b'"text"\n' * 1 + b'"ok"\n"caf\xe9"\n' if kind == "csv" else b'{"text": "x"}\n' * 2 + b"caf\xe9")
    offset = path.read_bytes().index(b"\xe9")
    with pytest.raises(ValueError, match=rf"bad\.{kind} is not UTF-8 at byte {offset} \(line 3\): convert it"):
        list(read_rows(path, ["text"]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": 1}\n{"text"', "line 2 is not JSON"),
        ("a.jsonl", b"[1]\n", "line 1 is not a JSON object"),
        ("a.jsonl", b'{"text": null}\n', "line 1: column 'text' holds NoneType"),
        ("a.csv", b"", "has no column 'text': it has none"),
        ("a.csv", b"id,text\n1\n", "line 2: column 'text' holds NoneType"),
        ("a.parquet", b"PAR1 nothing of the kind", "is damaged or no parquet file"),
        ("a.doc", b"", "its ending must be one of csv, jsonl, parquet, tsv, txt"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        list(read_rows(tmp_path / name, ["text"]))
    assert "\n" not in str(error.value)
