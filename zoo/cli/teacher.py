"""The model that judges pairs; imported only where one is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from bench.embedding import Embedder
from bench.models.opening import open_model
from zoo.data.cache import cache_root
from zoo.data.mining.teacher import Role, Vectors


class ModelTeacher:
    """Any embedding model that `zoo bench run --model` opens, with its own prompts and similarity.

    Each distinct text is encoded once: its vector is kept in the cache, where benchmarks find it too.

    Args:
        model: run folder, checkpoint, or folder or hub name of sentence-transformers.
        device: such as `cpu`; None picks one.
        precision: such as `32-true`.

    Raises:
        ValueError: if there is no such model, or it gives single texts no vectors.
    """

    def __init__(self, model: str, device: str | None = None, precision: str = "32-true") -> None:
        encoder = open_model(model, device=device, precision=precision).encoder
        if encoder is None:
            raise ValueError(f"--model {model}: gives single texts no vectors: name an embedding model")
        self._embedder = Embedder(encoder, cache_root())
        self.name = self._embedder.info.name
        self.revision = self._embedder.info.revision

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Vectors of `texts`, with the prompt that the model has for their side."""
        return self._embedder.encode(texts, prompt=self._embedder.info.prompts.get(role), role=role)

    def scores(self, queries: Vectors, documents: Vectors) -> Vectors:
        """The model's similarity of all queries with all documents."""
        return _array(self._embedder.similarity, queries, documents)

    def scores_of_pairs(self, queries: Vectors, documents: Vectors) -> Vectors:
        """The model's similarity of query i with document i."""
        return _array(self._embedder.similarity_pairwise, queries, documents)


def _array(similarity: Callable[[Any, Any], Any], left: Vectors, right: Vectors) -> Vectors:
    scores = torch.as_tensor(similarity(torch.from_numpy(left), torch.from_numpy(right)))
    array: Vectors = scores.detach().float().cpu().numpy()
    if np.isnan(array).any():
        raise ValueError("the teacher's similarity of some query and document is not a number: take another model")
    return array
