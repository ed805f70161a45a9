from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bench.embedding import Embedder
from bench.models import zoo_run
from bench.models.zoo_run import ZooRun
from bench.records import Axes, Parameters

PARTS = {"weights": "ab", "dtype": "float32"}


class Predictor:
    """Stands for an objective that predicts tokens."""


class FakeTextEncoder:
    name, dim, max_length, device, precision = "run-1", 2, 128, torch.device("cpu"), "32-true"
    parts, batch_tokens = PARTS, 7
    prompts = {"query": "q: ", "document": ""}  # noqa: RUF012
    description: dict[str, Any] = {  # noqa: RUF012
        "parameters": {"total": 6, "embedding": 3, "encoder": 2, "head": 1},
        "bytes": 24,
        "axes": {"objective": "MaskedLM", "embedding": "TiedEmbedding", "schedule": "Cosine", "data": None},
        "config": {"a": 1},
        "training": {"tokens_seen": 5},
        "dtype": "float32",
    }

    def __init__(self, objective: object) -> None:
        self.objective = objective

    def tokenize(self, texts: Sequence[str], prompt: str = "") -> Any:
        return [[len(prompt), len(text)] for text in texts]

    def embed(self, ids: Sequence[Sequence[int]]) -> Any:
        return np.array(ids, dtype=np.float32)


def open_run(monkeypatch: pytest.MonkeyPatch, objective: object) -> ZooRun:
    def load(path: Path, *, device: str, precision: str) -> FakeTextEncoder:
        assert (device, precision) == ("auto", "32-true")
        return FakeTextEncoder(objective)

    monkeypatch.setattr("zoo.encode.TextEncoder.load", load)
    monkeypatch.setattr(zoo_run, "LanguageModelObjective", Predictor)
    return ZooRun(Path("runs/run-1"), None, "32-true")


def test_facts_of_the_run_reach_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    info = open_run(monkeypatch, object()).encoder.describe()
    assert (info.name, info.parts, info.kind, info.dim, info.max_length) == ("run-1", PARTS, "zoo", 2, 128)
    assert info.parameters == Parameters(6, 3, 2, 1)
    assert info.axes == Axes("MaskedLM", "TiedEmbedding", None, None, None, "Cosine", None)
    assert info.prompts == {"query": "q: "}
    assert info.training == {"tokens_seen": 5}


def test_the_prompt_reaches_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = open_run(monkeypatch, object()).encoder
    assert Embedder(encoder).encode(["abc"], prompt="q: ").tolist() == [[3, 3]]
    assert Embedder(encoder).encode(["abc"], role="query").tolist() == [[0, 3]]
    assert encoder.route(None, "query") == encoder.route("", "document")
    assert encoder.batch_tokens == 7
    assert encoder.similarity_pairwise([[1.0, 0.0]], [[2.0, 0.0]]).tolist() == [1.0]
    assert encoder.similarity([[1.0, 0.0]], [[0.0, 2.0]]).tolist() == [[0.0]]


def test_an_objective_without_token_predictions_is_no_language_model(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_run(monkeypatch, object()).language_model is None


def test_both_sides_of_a_language_model_share_the_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = SimpleNamespace(nats=1.0, tokens=2, bytes=3, kind="causal")
    monkeypatch.setattr(
        zoo_run, "LanguageModel", lambda *_: SimpleNamespace(score=lambda texts, *, stream, progress: sums)
    )
    run = open_run(monkeypatch, Predictor())
    assert run.language_model is not None
    assert run.language_model.describe() == run.encoder.describe()
    assert run.language_model.score(["x"], stream=True) is sums


def test_bytes_of_a_shared_tensor_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = torch.nn.Module()
    objective.embedding = torch.nn.Embedding(10, 4)
    objective.encoder = torch.nn.Linear(4, 4)
    objective.head = torch.nn.Linear(4, 10)
    objective.head.weight = objective.embedding.weight
    objective.register_buffer("counter", torch.zeros(1, dtype=torch.int64))
    sizes = open_run(monkeypatch, objective).encoder.bytes_by_part()
    assert sizes == {"embedding": 160, "encoder": 80, "head": 40, "rest": 8}
