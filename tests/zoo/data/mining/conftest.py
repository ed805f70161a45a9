from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Rows = list[dict[str, Any]]


class Killed(BaseException):
    """What stands for a process that ends."""


@dataclass
class FakeTeacher:
    """A random vector for each text, by its name; cosine. Counts its calls, and dies where it is told to."""

    name: str = "fake"
    revision: str = "r1"
    dim: int = 4
    calls: int = 0
    dies_at: int | None = None
    given: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def vector(self, text: str) -> NDArray[np.float32]:
        if text not in self.given:
            seed = int.from_bytes(text.encode()[:16], "little")
            # all in one half space, so that most scores are positive
            self.given[text] = np.abs(np.random.default_rng(seed).normal(size=self.dim)).astype(np.float32)
        return self.given[text]

    def encode(self, texts: Sequence[str], role: str) -> NDArray[np.float32]:
        self.calls += 1
        if self.calls == self.dies_at:
            raise Killed
        return np.array([self.vector(text) for text in texts], dtype=np.float32).reshape(-1, self.dim)

    def scores(self, queries: NDArray[np.float32], documents: NDArray[np.float32]) -> NDArray[np.float32]:
        return unit(queries) @ unit(documents).T

    def scores_of_pairs(self, queries: NDArray[np.float32], documents: NDArray[np.float32]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = (unit(queries) * unit(documents)).sum(axis=1)
        return scores


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return rows


@pytest.fixture
def teacher() -> Callable[..., FakeTeacher]:
    """`teacher(dies_at=None)`: a new one."""
    return FakeTeacher


@pytest.fixture
def killed() -> type[BaseException]:
    """What a teacher that dies raises."""
    return Killed


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[[str, Rows], Path]:
    """Write a jsonl file of a source `pairs`."""

    def write(split: str, rows: Rows) -> Path:
        path = tmp_path / "pairs" / f"{split}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def source_folder(write_rows: Callable[[str, Rows], Path]) -> Path:
    """Source of 60 queries with 1 to 3 documents each over all splits, some of which belong to several queries."""
    rng = np.random.default_rng(0)
    rows = [
        {"query": f"q{query}", "document": f"d{rng.integers(80)}"}
        for query in range(60)
        for _ in range(rng.integers(1, 4))
    ]
    rng.shuffle(rows)
    write_rows("validation", rows[:10])
    write_rows("test", rows[10:20])
    return write_rows("train", rows[20:]).parent


@pytest.fixture
def read_rows() -> Callable[[Path], Rows]:
    """The rows of a jsonl file."""
    return lambda path: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
