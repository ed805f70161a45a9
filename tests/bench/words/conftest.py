from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.words.sets import WordSet


@pytest.fixture
def small_set() -> WordSet:
    """A set whose hash is not known."""
    return WordSet("Small", "small", "EN-SMALL.txt", 3, "0" * 64)


@pytest.fixture
def write_set(tmp_path: Path, small_set: WordSet) -> Callable[[str], Path]:
    """`write_set(text)`: its file in the original form; gives the folder."""

    def write(text: str) -> Path:
        (tmp_path / small_set.file).write_text(text, encoding="utf-8")
        return tmp_path

    return write
