"""An encoder that costs next to nothing, so that what stands around one can be measured."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.protocols import Role, Route, Tokens
from bench.records import ModelInfo

ROWS = 4096


class BagOfTokens:
    """Sum of one random vector a word.

    Args:
        dim: width of the vectors.
    """

    batch_tokens = 65_536
    streams = 1

    def __init__(self, dim: int = 384) -> None:
        self._table = np.random.default_rng(0).standard_normal((ROWS, dim), dtype=np.float32)

    def describe(self) -> ModelInfo:
        """What is being scored."""
        weights = hashlib.sha256(self._table.tobytes()).hexdigest()
        return ModelInfo(
            name="bag-of-tokens",
            parts={"weights": weights},
            kind="zoo",
            dtype="float32",
            bytes=self._table.nbytes,
            dim=self._table.shape[1],
        )

    def route(self, prompt: str | None, role: Role | None) -> Route:
        """The same for all prompts and both sides."""
        return Route(prompt="", role=None)

    def tokenize(self, texts: Sequence[str], route: Route) -> list[Tokens]:
        """A row of the table for each word; an empty text is one word."""
        return [[zlib.crc32(word.encode()) % ROWS for word in text.split() or [""]] for text in texts]

    def embed(self, batch: Sequence[Tokens], route: Route) -> NDArray[np.float32]:
        """Vectors (len(batch), dim)."""
        starts = np.cumsum([0, *map(len, batch)])[:-1]
        vectors: NDArray[np.float32] = np.add.reduceat(self._table[np.concatenate(batch)], starts, axis=0)
        return vectors

    def similarity(self, left: Any, right: Any) -> Any:
        """Cosine of each row of `left` with each of `right`."""
        from mteb.similarity_functions import cos_sim

        return cos_sim(left, right)

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        """Cosine of row i of `left` with row i of `right`."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(left, right)
