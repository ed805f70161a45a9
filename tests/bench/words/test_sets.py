from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.data.rows import hash_dataset
from bench.words import sets
from bench.words.names import NAMES
from bench.words.sets import SETS, WordSet

DATA = os.environ.get("ZOO_TEST_DATA")
OFFICIAL = """
from bench.words import sets
for words in sets.SETS.values():
    table = sets.load(words)
    print(words.name, len(table), table.column_names == list(sets.COLUMNS), sets.check(words, table).status)
"""


def test_the_original_form_is_read_with_tabs_or_spaces(write_set: Callable[[str], Path], small_set: WordSet) -> None:
    folder = write_set("old\tnew\t1.58\ncafé coffee 9\n\tsun  sunlight 50.000000\n")
    table = sets.load(small_set, folder=folder)
    assert list(table) == [
        {"word1": "old", "word2": "new", "score": 1.58},
        {"word1": "café", "word2": "coffee", "score": 9.0},
        {"word1": "sun", "word2": "sunlight", "score": 50.0},
    ]


@pytest.mark.parametrize("line", ["old new", "old new 1 2", "old new x", ""])
def test_a_line_that_is_no_pair_is_named(line: str, write_set: Callable[[str], Path], small_set: WordSet) -> None:
    folder = write_set(f"a b 1\n{line}\nc d 2\n")
    with pytest.raises(ValueError, match=r"EN-SMALL.txt, line 2: expected two words and a number"):
        sets.load(small_set, folder=folder)


def test_a_missing_file_is_named(small_set: WordSet, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="EN-SMALL"):
        sets.load(small_set, folder=tmp_path)


@pytest.mark.parametrize("error", [FileNotFoundError("no such data"), ConnectionError("the hub cannot be reached")])
def test_without_the_data_the_error_says_where_it_is(
    error: Exception, small_set: WordSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_dataset(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(sets, "load_dataset", load_dataset)
    with pytest.raises(ValueError, match=r"clone github.com/mfaruqui/eval-word-vectors .*--word-sets"):
        sets.load(small_set)


def test_other_rows_deviate(write_set: Callable[[str], Path], small_set: WordSet) -> None:
    table = sets.load(small_set, folder=write_set("a b 1\nc d 2\ne f 3\n"))
    known = replace(small_set, sha256=hash_dataset(table))
    assert sets.check(known, table).status == "official"
    fewer, other = sets.check(known, table.select([0, 1])), sets.check(small_set, table)
    assert (fewer.status, fewer.note) == ("deviates", "2 pairs, not 3")
    assert (other.status, other.note) == ("deviates", "other pairs or scores than those of EN-SMALL.txt")


def test_every_set_has_its_own_name_in_a_bundle() -> None:
    assert tuple(SETS) == NAMES
    assert len({words.table for words in SETS.values()}) == len(NAMES) == 6
    assert SETS["MEN"].table == "mfaruqui/eval-word-vectors@94b3dd9fdbac/men-tr-3k/test"


@pytest.mark.skipif(DATA is None, reason="ZOO_TEST_DATA is not set: the official data is not at hand")
def test_the_official_sets_are_recognised(tmp_path: Path) -> None:
    assert DATA is not None
    mirror = Path(DATA).parent / "tools" / "run-with-mirror"
    command = [str(mirror), "--root", DATA, "--", sys.executable, "-c", OFFICIAL]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [f"{words.name} {words.size} True official" for words in SETS.values()]
