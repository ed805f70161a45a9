from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.protocols import Role, Route
from bench.records import ModelInfo


@dataclass
class SlowEncoder:
    """Sleeps for a declared time a batch and a token; a word is a token."""

    seconds_per_batch: float = 0.0
    seconds_per_token: float = 0.0
    size: int | None = 1000
    reads_text: bool = False
    batches: list[list[int]] = field(default_factory=list)
    batch_tokens: int = 4096
    streams: int = 1

    def describe(self) -> ModelInfo:
        parts = {"weights": hashlib.sha256(b"slow").hexdigest()}
        return ModelInfo(name="slow", parts=parts, kind="zoo", dtype="float32", dim=2, bytes=self.size)

    def route(self, prompt: str | None, role: Role | None) -> Route:
        return Route(prompt or "", role)

    def tokenize(self, texts: Sequence[str], route: Route) -> list[Sequence[Any]]:
        return list(texts) if self.reads_text else [text.split() for text in texts]

    def embed(self, batch: Sequence[Sequence[Any]], route: Route) -> NDArray[np.float32]:
        self.batches.append([len(sequence) for sequence in batch])
        time.sleep(self.seconds_per_batch + self.seconds_per_token * sum(self.batches[-1]))
        return np.zeros((len(batch), 2), dtype=np.float32)

    def similarity(self, left: Any, right: Any) -> Any:
        raise NotImplementedError

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def new_slow_encoder() -> Callable[..., SlowEncoder]:
    return SlowEncoder
