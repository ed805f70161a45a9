from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mteb
import pytest
from datasets import Dataset
from mteb.models import SearchEncoderWrapper
from mteb.types import PromptType

from bench.adapters import MtebEncoder
from bench.embedding import Embedder
from bench.protocols import NotApplicableError

NewEncoder = Callable[..., Any]
TASK: Any = mteb.get_task("SciFact").metadata
COLOURS = ["red", "green", "blue", "violet", "amber"]
WORDS = [*COLOURS, "horse", "heron", "otter", "badger", "newt", "iron", "copper", "silver", "tin", "nickel"]
OPTIONS: Any = {"task_metadata": TASK, "hf_split": "test", "hf_subset": "default", "num_proc": None}


def sentences(count: int, seed: int) -> list[str]:
    chosen = random.Random(seed)
    return [" ".join(chosen.choices(WORDS, k=4)) for _ in range(count)]


def a_corpus(count: int = 60) -> Dataset:
    rows = [
        {"id": f"d{i}", "title": WORDS[i % 15] if i % 3 else "", "text": f" {text} "}
        for i, text in enumerate(sentences(count, 0))
    ]
    return Dataset.from_list(rows)


def plain(queries: list[str]) -> Dataset:
    return Dataset.from_dict({"id": [f"q{i}" for i in range(len(queries))], "text": queries})


def conversations(queries: list[str]) -> Dataset:
    turns = [[{"role": "user", "content": query}, {"role": "assistant", "content": "newt"}] for query in queries]
    return Dataset.from_dict({"id": [f"q{i}" for i in range(len(queries))], "text": turns})


def instructed(queries: list[str]) -> Dataset:
    return plain(queries).add_column("instruction", [f"about {query.split()[0]}" for query in queries])


class Unbatched:
    """The same model as mteb would see it, for its own search."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self.mteb_model_meta = None

    def encode(self, inputs: Any, *, prompt_type: PromptType, **_: Any) -> Any:
        texts = [text for batch in inputs for text in batch["text"]]
        prompt = self._encoder.prompts.get(prompt_type.value)
        route = self._encoder.route(prompt, prompt_type.value)
        return self._encoder.embed(self._encoder.tokenize(texts, route), route)

    def similarity(self, left: Any, right: Any) -> Any:
        return self._encoder.similarity(left, right)


def search(model: Any, corpus: Dataset, queries: Dataset, **options: Any) -> Any:
    model.index(corpus, **OPTIONS, encode_kwargs={})
    return model.search(queries, **OPTIONS, encode_kwargs={"show_progress_bar": False}, **options)


@pytest.mark.parametrize("block", [7, 10_000])
@pytest.mark.parametrize("kind", [plain, instructed, conversations])
def test_it_finds_what_mteb_finds(
    kind: Callable[[list[str]], Dataset], block: int, new_encoder: NewEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.search.dense_search._BLOCK_TEXTS", block)
    encoder = new_encoder(prompts={"query": "iron ", "document": "tin "})
    corpus, queries = a_corpus(), kind(sentences(8, 1))
    expected = search(SearchEncoderWrapper(Unbatched(encoder)), corpus, queries, top_k=10)
    found = search(MtebEncoder(Embedder(encoder)), corpus, queries, top_k=10)
    assert found.keys() == expected.keys()
    for query, scores in found.items():
        assert scores == pytest.approx(expected[query], rel=1e-5)
        assert list(scores.values()) == sorted(scores.values(), reverse=True)


def test_candidates_are_reranked_as_mteb_does(new_encoder: NewEncoder) -> None:
    encoder = new_encoder()
    corpus, queries = a_corpus(), plain(sentences(4, 1))
    top_ranked = {"q0": ["d3", "d1", "d44"], "q1": ["d1"], "q2": [], "q3": ["d9", "d8", "d7", "d6"]}
    expected = search(SearchEncoderWrapper(Unbatched(encoder)), corpus, queries, top_k=3, top_ranked=top_ranked)
    encoder.calls.clear()
    found = search(MtebEncoder(Embedder(encoder)), corpus, queries, top_k=3, top_ranked=top_ranked)
    assert found == {query: pytest.approx(scores, rel=1e-5) for query, scores in expected.items()}
    documents = [text for texts, _, role in encoder.calls for text in texts if role == "document"]
    assert len(documents) == 7, "only the candidates of some query"


def test_a_candidate_that_is_not_there(new_encoder: NewEncoder) -> None:
    with pytest.raises(ValueError, match="candidate 'd99' of the reranking is not in the corpus"):
        search(MtebEncoder(Embedder(new_encoder())), a_corpus(), plain(["x"]), top_k=3, top_ranked={"q0": ["d99"]})


def test_equal_documents_are_ranked_by_id(new_encoder: NewEncoder) -> None:
    corpus = Dataset.from_dict({"id": ["b", "d", "a", "c"], "text": ["red"] * 4})
    found = search(MtebEncoder(Embedder(new_encoder())), corpus, plain(["red"]), top_k=2)
    assert list(found["q0"]) == ["d", "c"]


def test_a_corpus_without_texts_is_not_applicable(new_encoder: NewEncoder) -> None:
    corpus = Dataset.from_dict({"id": ["a"], "image": [0]})
    with pytest.raises(NotApplicableError, match="the rows hold id, image and no text"):
        search(MtebEncoder(Embedder(new_encoder())), corpus, plain(["red"]), top_k=2)


def test_faiss_finds_the_same(new_encoder: NewEncoder) -> None:
    pytest.importorskip("faiss", reason="faiss is not installed")
    corpus, queries = a_corpus(), plain(sentences(8, 1))
    exact, faiss = (
        search(MtebEncoder(Embedder(new_encoder()), faiss=faiss), corpus, queries, top_k=10) for faiss in (False, True)
    )
    for query, scores in faiss.items():
        assert sorted(scores.values()) == pytest.approx(sorted(exact[query].values()), rel=1e-5)


LARGE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (2 * 1024**3, 2 * 1024**3))
import numpy as np
from types import SimpleNamespace
from datasets import Dataset, load_from_disk
from pathlib import Path
from bench.adapters import MtebEncoder
from bench.embedding import Embedder
from bench.protocols import Route
from bench.records import ModelInfo

class Cheap:
    batch_tokens, streams = 1 << 20, 1
    def describe(self):
        return ModelInfo(name="cheap", parts={"weights": "0"}, kind="zoo", dtype="float32", dim=384)
    def route(self, prompt, role): return Route(prompt or "", None)
    def tokenize(self, texts, route): return list(texts)
    def embed(self, batch, route):
        seeds = np.array([int(text.split()[0]) for text in batch], dtype=np.float32)
        return np.cos(seeds[:, None] * np.arange(1, 385, dtype=np.float32) * 0.001)
    def similarity(self, left, right): return left @ right.T

folder = Path(sys.argv[1])
embedder = Embedder(Cheap(), folder / "cache")
model = MtebEncoder(embedder)
model.index(load_from_disk(folder / "corpus"))
numbers = range(0, 200_000, 2000)
queries = Dataset.from_dict({"id": [f"q{i}" for i in numbers], "text": [f"{i}" for i in numbers]})
found = model.search(queries, task_metadata=SimpleNamespace(name="X", type="Retrieval"), top_k=1000)
assert all(len(scores) == 1000 for scores in found.values())
print(len(found), embedder.meter.texts_encoded, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_two_hundred_thousand_documents_fit_into_two_gigabytes(tmp_path: Path) -> None:
    def rows() -> Any:
        for i in range(200_000):
            yield {"id": f"d{i}", "title": "", "text": f"{i} " + "some words of a document " * 40}

    Dataset.from_generator(rows, cache_dir=str(tmp_path / "hf")).save_to_disk(tmp_path / "corpus")
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["100", "200100"]
