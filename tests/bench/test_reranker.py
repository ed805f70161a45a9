from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from mteb.models.models_protocols import SearchProtocol
from numpy.typing import NDArray

from bench.embedding import Meter
from bench.records import ModelInfo
from bench.reranker import MtebReranker

CORPUS = Dataset.from_dict(
    {"id": ["d3", "d1", "d2", "d4"], "title": ["", "T", None, ""], "text": ["iron", "copper iron", "tin", "zinc"]}
)
QUERIES = Dataset.from_dict({"id": ["q1", "q2"], "text": ["iron", "tin"]})


class ByLength:
    """Long documents are better."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def describe(self) -> ModelInfo:
        return ModelInfo(name="by length", parts={"weights": "none"}, kind="cross-encoder", dtype="float32")

    def score(self, pairs: Sequence[tuple[str, str]], *, progress: bool = False) -> NDArray[np.float32]:
        self.pairs += pairs
        return np.array([len(document) for _, document in pairs], dtype=np.float32)


def search(model: Any, **options: Any) -> dict[str, dict[str, float]]:
    reranker: Any = MtebReranker(model, Meter(), depth=2)
    assert isinstance(reranker, SearchProtocol)
    reranker.index(CORPUS, task_metadata=None, hf_split="test", hf_subset="default", encode_kwargs={}, num_proc=None)
    arguments: dict[str, Any] = {
        "task_metadata": None,
        "hf_split": "test",
        "hf_subset": "default",
        "encode_kwargs": {},
        "top_k": 10,
    }
    found: dict[str, dict[str, float]] = reranker.search(QUERIES, **{**arguments, **options})
    return found


def test_candidates_are_ranked_and_ties_go_to_the_smaller_id() -> None:
    model = ByLength()
    found = search(model, top_ranked={"q1": ["d4", "d3", "d1", "d3"], "q2": ["d2"]})
    assert list(found["q1"].items()) == [("d1", 13.0), ("d3", 4.0), ("d4", 4.0)]
    assert found["q2"] == {"d2": 3.0}
    assert ("iron", "T copper iron") in model.pairs
    assert len(model.pairs) == 4


def test_without_candidates_the_first_documents_of_bm25_are_ranked() -> None:
    model = ByLength()
    found = search(model)
    assert list(found["q1"]) == ["d1", "d3"]  # BM25 has d3 first
    assert {*found["q2"]} == {"d2", "d1"}  # d2, and of equal scores the smallest id
    assert len(model.pairs) == 4


def test_only_the_best_are_given() -> None:
    assert search(ByLength(), top_ranked={"q1": ["d4", "d1"]}, top_k=1) == {"q1": {"d1": 13.0}, "q2": {}}


def test_a_candidate_that_is_not_in_the_corpus_is_an_error() -> None:
    with pytest.raises(KeyError, match="d9"):
        search(ByLength(), top_ranked={"q1": ["d9"]})
