"""Rows of local txt, jsonl, csv and parquet files, one at a time, with errors that name the place."""

from __future__ import annotations

import csv
import difflib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = tuple[str, ...]
_TEXT = "text"


@dataclass(frozen=True)
class ListColumn:
    """A column that holds a list of texts in each row, the first `items` of which are values of the row."""

    name: str
    items: int


Column = str | ListColumn


def read_rows(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    """Values of `columns` of each row.

    A line of a txt file is a row with the one column `text`, without its line break.

    Raises:
        ValueError: if the file has no such column, is damaged, is not UTF-8, or has a kind that nobody reads here.
        OSError: if it cannot be read.
    """
    return _READERS[kind_of(path)](path, columns)


def kind_of(path: Path) -> str:
    """Ending of `path` without compression and dot.

    Raises:
        ValueError: if no reader knows it.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in _READERS:
        raise ValueError(f"cannot read {path}: its ending must be one of {', '.join(sorted(_READERS))}")
    return kind


def names_of(columns: Sequence[Column]) -> list[str]:
    """The name of each column."""
    return [column if isinstance(column, str) else column.name for column in columns]


def check_columns(wanted: Sequence[Column], present: Sequence[str], where: object) -> None:
    """Complain of the first of `wanted` that is not `present`.

    Raises:
        ValueError: with the nearest column.
    """
    for column in names_of(wanted):
        if column not in present:
            near = difflib.get_close_matches(column, present, n=1, cutoff=0.0)
            hint = f"the nearest is {near[0]!r} (columns: {', '.join(present)})" if near else "it has none"
            raise ValueError(f"{where} has no column {column!r}: {hint}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines with their line breaks."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                # A byte-order mark is not text.
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path} is not UTF-8 at byte {offset + error.start} (line {number}): "
                    f"convert it first, for example with iconv -f latin1 -t utf-8"
                ) from error
            offset += len(line)


def _read_txt(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    check_columns(columns, [_TEXT], path)
    for number, line in _lines(path):
        yield row_of([line.rstrip("\r\n")] * len(columns), columns, f"{path} line {number}")


def _read_jsonl(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    names = names_of(columns)
    for number, line in _lines(path):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where} is not JSON ({error.msg} at column {error.colno}): one object a line") from error
        if not isinstance(record, dict):
            raise ValueError(f"{where} is not a JSON object: write one object with the keys {', '.join(names)} a line")
        check_columns(columns, list(record), where)
        yield row_of([record[name] for name in names], columns, where)


def _read_csv(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader((line for _, line in _lines(path)), delimiter=delimiter)
    check_columns(columns, list(reader.fieldnames or []), path)
    try:
        for record in reader:
            values = [record[name] for name in names_of(columns)]
            yield row_of(values, columns, f"{path} line {reader.line_num}")
    except csv.Error as error:
        raise ValueError(f"{path} line {reader.line_num} is not CSV ({error}): quote its fields") from error


def _read_parquet(path: Path, columns: Sequence[Column]) -> Iterator[Row]:
    try:
        with pq.ParquetFile(path) as file:
            check_columns(columns, file.schema_arrow.names, path)
            number, names = 0, names_of(columns)
            for batch in file.iter_batches(batch_size=4096, columns=list(dict.fromkeys(names))):
                for values in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                    number += 1
                    yield row_of(values, columns, f"{path} row {number}")
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged or no parquet file: {str(error).splitlines()[0]}") from error


def row_of(values: Sequence[Any], columns: Sequence[Column], where: str) -> Row:
    """The texts that `values` of `columns` make, those of a list one after the other.

    Args:
        values: one for each column.
        columns: what they are called.
        where: place of the row, for messages.

    Raises:
        ValueError: if a value is no text, or a list is too short.

    Example:
        >>> row_of(["q", ["a", "b", "c"]], ["query", ListColumn("negatives", 2)], "line 1")
        ('q', 'a', 'b')
    """
    row: list[str] = []
    for column, value in zip(columns, values, strict=True):
        if isinstance(column, str):
            row.append(_text(value, column, where))
        else:
            row += _first_texts(value, column, where)
    return tuple(row)


def _text(value: Any, column: str, where: str) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError(f"{where}: column {column!r} holds {type(value).__name__}, not text: choose another column")
    return str(value)


def _first_texts(value: Any, column: ListColumn, where: str) -> list[str]:
    if not isinstance(value, list):
        raise ValueError(
            f"{where}: column {column.name!r} holds {type(value).__name__}, not a list: choose another column"
        )
    if len(value) < column.items:
        raise ValueError(
            f"{where}: column {column.name!r} holds {len(value)} values, not {column.items}: lower num_negatives, "
            "or leave the row out"
        )
    return [_text(item, column.name, where) for item in value[: column.items]]


_READERS: dict[str, Callable[[Path, Sequence[Column]], Iterator[Row]]] = {
    "txt": _read_txt,
    "jsonl": _read_jsonl,
    "csv": _read_csv,
    "tsv": _read_csv,
    "parquet": _read_parquet,
}
