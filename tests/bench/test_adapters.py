from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from mteb.types import PromptType

from bench.adapters import Meter, MtebEncoder, MtebSearcher, model_meta
from bench.models.bm25 import BM25Model

STS: Any = SimpleNamespace(name="STSBenchmark", type="STS")
RETRIEVAL: Any = SimpleNamespace(name="SciFact", type="Retrieval")
LOADER: Any = [{"text": ["a b", "c"]}, {"text": ["d"]}]


def test_the_prompt_of_the_side_is_used(new_encoder: Callable[..., Any]) -> None:
    encoder, meter = new_encoder(prompts={"query": "q: ", "document": "d: ", "STS": "s: "}), Meter()
    adapted = MtebEncoder(encoder, meter)
    adapted.encode(LOADER, task_metadata=RETRIEVAL, prompt_type=PromptType.query)
    adapted.encode(LOADER, task_metadata=RETRIEVAL, prompt_type=PromptType.document)
    adapted.encode(LOADER, task_metadata=STS)
    adapted.encode(LOADER, task_metadata=RETRIEVAL)
    texts = ["a b", "c", "d"]
    expected = [(texts, "q: ", "query"), (texts, "d: ", "document"), (texts, "s: ", None), (texts, None, None)]
    assert encoder.calls == expected
    assert meter.texts == 12
    assert meter.seconds > 0


def test_vectors_that_are_not_finite_are_refused(new_encoder: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="not finite for 3 texts"):
        MtebEncoder(new_encoder(broken=True), Meter()).encode(LOADER, task_metadata=STS)


def test_the_revision_is_the_content_hash(new_encoder: Callable[..., Any]) -> None:
    first, second = (model_meta(new_encoder(seed=seed, name="a name/x").describe()) for seed in (0, 1))
    assert first.name == second.name == "zoo/a_name_x"
    assert first.revision != second.revision


CORPUS = Dataset.from_list(
    [
        {"id": "d1", "title": "", "text": "iron and copper"},
        {"id": "d2", "title": "Otters", "text": "swim"},
        {"id": "d3", "title": "", "text": "iron"},
    ]
)
QUERIES = Dataset.from_list([{"id": "q1", "text": "iron"}, {"id": "q2", "text": "otters"}, {"id": "q3", "text": "zzz"}])


def test_a_searcher_ranks_titles_and_texts() -> None:
    searcher = MtebSearcher(BM25Model(), Meter())
    searcher.index(CORPUS)
    found = searcher.search(QUERIES, top_k=2)
    assert list(found["q1"]) == ["d3", "d1"]
    assert next(iter(found["q2"])) == "d2"
    assert found["q3"] == {"d1": 0.0, "d2": 0.0}


def test_a_searcher_reranks_only_the_candidates() -> None:
    searcher = MtebSearcher(BM25Model(), Meter())
    searcher.index(CORPUS)
    found = searcher.search(QUERIES, top_k=10, top_ranked={"q1": ["d2", "d1"], "q2": ["d3"]})
    assert list(found["q1"]) == ["d1", "d2"]
    assert list(found["q2"]) == ["d3"]
    assert found["q3"] == {}


def test_bm25_scores_are_those_of_the_formula() -> None:
    model = BM25Model()
    documents = ["iron iron copper", "copper", "silver otter"]
    model.index(documents)
    idf = np.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    length, mean = 3, 2
    expected = idf * 2 / (2 + 1.5 * (1 - 0.75 + 0.75 * length / mean))
    assert model.search("iron") == pytest.approx([expected, 0, 0], rel=1e-5)
