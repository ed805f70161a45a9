from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.protocols import LanguageModel, Role, Route, Tokens
from bench.records import Axes, DataCheck, Evaluation, ModelInfo, Parameters, Record, Scores, TaskInfo


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_record(model: str = "full", task: str = "PydocRetrieval", seed: int = 0, main: float = 0.5) -> Record:
    return Record(
        ModelInfo(
            name=model,
            parts={"weights": sha(f"{model} {seed}"), "dtype": "float32"},
            kind="zoo",
            dtype="float32",
            parameters=Parameters(3, 1, 1, 1),
            bytes=12,
            dim=4,
            max_length=32,
            prompts={"query": "q: "},
            axes=Axes("MaskedLM", "FullEmbedding", "DenseEncoder", None, "AdamW", None, "PydocCorpus"),
            config={"model": {"init_args": {"lr": 1e-3, "betas": [0.9, 0.95]}}},
            training={"seconds": 1.5, "tokens_seen": 10},
        ),
        TaskInfo(
            name=task,
            type="Retrieval",
            suite="pydoc",
            dataset="pydoc",
            revision="r1",
            split="test",
            subset="default",
            metric="ndcg_at_10",
            higher_is_better=True,
            languages=("eng-Latn",),
            scoring="mteb 2.26.24",
            rows="0" * 32,
            check=DataCheck("unchecked", "ours"),
        ),
        Scores(main, {"ndcg_at_10": main, "tokens": 3}),
        Evaluation(
            started="2026-01-02T03:04:05+00:00",
            seconds=1.0,
            encode_seconds=0.5,
            texts=9,
            texts_encoded=7,
            devices=1,
            hardware={"cpu": "x"},
            versions={"torch": "2.13"},
            commit=None,
            dirty=None,
        ),
    )


@dataclass
class FakeEncoder:
    """Bags of hashed words, projected by a matrix that the seed decides; remembers what it was given.

    The narrower, the worse.
    """

    seed: int = 0
    name: str = "fake"
    prompts: Mapping[str, str] = field(default_factory=dict)
    calls: list[tuple[list[str], str | None, str | None]] = field(default_factory=list)
    broken: bool = False
    dim: int = 64
    batch_tokens: int = 256
    streams: int = 1

    def describe(self) -> ModelInfo:
        parts = {"weights": sha(f"{self.name} {self.seed}"), "prompts": str(self.prompts), "similarity": "cosine"}
        return ModelInfo(name=self.name, parts=parts, kind="zoo", dtype="float32", dim=self.dim, prompts=self.prompts)

    def route(self, prompt: str | None, role: Role | None) -> Route:
        return Route(prompt or "", role)

    def tokenize(self, texts: Sequence[str], route: Route) -> list[Tokens]:
        return [route.prompt + text for text in texts]

    def embed(self, batch: Sequence[Tokens], route: Route) -> NDArray[np.float32]:
        self.calls.append(([str(text).removeprefix(route.prompt) for text in batch], route.prompt, route.role))
        if self.broken:
            return np.full((len(batch), self.dim), np.nan, dtype=np.float32)
        counts = np.zeros((len(batch), 256), dtype=np.float32)
        for row, text in enumerate(batch):
            for word in re.findall("[a-z]+", str(text).lower()):
                counts[row, int(sha(word)[:4], 16) % 256] += 1
        projection = np.random.default_rng(self.seed).normal(size=(256, self.dim))
        return (counts @ projection + 1e-3).astype(np.float32)

    def similarity(self, left: Any, right: Any) -> Any:
        return _unit(left) @ _unit(right).T

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        return (_unit(left) * _unit(right)).sum(axis=1)


def _unit(vectors: Any) -> NDArray[np.float32]:
    array = np.asarray(vectors)
    unit: NDArray[np.float32] = array / np.linalg.norm(array, axis=1, keepdims=True)
    return unit


@dataclass
class FakeModel:
    encoder: Any = None
    searcher: Any = None
    language_model: LanguageModel | None = None
    cross_encoder: Any = None
    vocabulary: Any = None


@dataclass(frozen=True)
class FakePair:
    id: str
    package: str
    module: str
    qualified_name: str
    summary: str
    code: str
    docstring: str


_TOPICS = {
    "colour": ["red", "green", "blue", "violet", "amber"],
    "animal": ["horse", "heron", "otter", "badger", "newt"],
    "metal": ["iron", "copper", "silver", "tin", "nickel"],
}


@dataclass(frozen=True)
class FakeSplits:
    """Three packages whose functions talk about different things."""

    topics: tuple[str, ...] = tuple(_TOPICS)
    count: int = 20
    salt: str = ""

    def pairs(self, split: str) -> list[FakePair]:
        pairs = []
        for topic in self.topics:
            for i in range(self.count):
                word = _TOPICS[topic][i % 5]
                name = f"{split}{self.salt}_{topic}_{i}"
                summary = f"Return the {word} {topic} of size {'x' * (i + 1)}."
                docstring = f"{summary} More about the {topic} and its {word}."
                code = f"def {word}_{i}():\n    return {topic} + {word} * {'x' * (i + 1)}"
                pairs.append(FakePair(f"{topic}.m:{name}", topic, f"{topic}.m", name, summary, code, docstring))
        return pairs

    def texts(self, split: str) -> list[str]:
        return [pair.docstring for pair in self.pairs(split)]


@pytest.fixture
def record() -> Record:
    return make_record()


@pytest.fixture
def new_record() -> Callable[..., Record]:
    return make_record


@pytest.fixture
def new_encoder() -> Callable[..., FakeEncoder]:
    return FakeEncoder


@pytest.fixture
def new_model() -> Callable[..., FakeModel]:
    return FakeModel


@pytest.fixture
def new_splits() -> Callable[..., FakeSplits]:
    return FakeSplits
