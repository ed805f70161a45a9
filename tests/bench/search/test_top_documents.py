from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.search.top_documents import TopDocuments, ranks


def dot(left: Any, right: Any) -> Any:
    return left @ right.T


def sorted_fully(scores: NDArray[np.float32], ids: list[str], k: int) -> list[list[tuple[float, str]]]:
    return [sorted(zip(row.tolist(), ids, strict=True), reverse=True)[:k] for row in scores]


@given(
    values=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    k=st.integers(1, 35),
    block=st.integers(1, 30),
    seed=st.integers(0, 100),
)
def test_it_is_the_head_of_a_full_sort(values: list[int], k: int, block: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    ids = [str(number) for number in random.permutation(len(values))]
    queries = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]], dtype=np.float32)
    documents = np.stack([values, random.integers(0, 2, len(values))], axis=1).astype(np.float32)
    best = TopDocuments(ids, queries, k, dot)
    for first in range(0, len(ids), block):
        best.add(first, documents[first : first + block])
    found = [[(score, name) for name, score in row.items()] for row in best.results()]
    assert found == sorted_fully(queries @ documents.T, ids, k)


def test_many_queries_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.search.top_documents._SCORES", 50)
    random = np.random.default_rng(0)
    queries, documents = (random.normal(size=(size, 3)).astype(np.float32) for size in (23, 17))
    ids = [f"d{i}" for i in range(17)]
    best = TopDocuments(ids, queries, 5, dot)
    best.add(0, documents)
    found = [list(row) for row in best.results()]
    assert found == [[name for _, name in row] for row in sorted_fully(queries @ documents.T, ids, 5)]


def test_no_documents_and_no_queries() -> None:
    empty = np.zeros((0, 2), dtype=np.float32)
    best = TopDocuments([], np.ones((1, 2), dtype=np.float32), 3, dot)
    best.add(0, empty)
    assert best.results() == [{}]
    best = TopDocuments(["a"], empty, 3, dot)
    best.add(0, np.ones((1, 2), dtype=np.float32))
    assert best.results() == []


def test_what_is_not_a_number_is_refused() -> None:
    best = TopDocuments(["a", "b"], np.ones((1, 1), dtype=np.float32), 1, dot)
    with pytest.raises(ValueError, match="is not a number"):
        best.add(0, np.array([[1.0], [np.nan]], dtype=np.float32))


def test_ranks_are_places_in_sorted_order() -> None:
    assert ranks(["b", "10", "9"]).tolist() == [2, 0, 1]
