"""Our models as mteb wants them, with a name and a revision that no other weights share."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder, get_prompt_name
from numpy.typing import NDArray

from bench.protocols import Encoder, Role, Searcher
from bench.records import ModelInfo

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata


class Meter:
    """Seconds spent in a model and texts given to it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.texts = 0
        self._started = 0.0

    def __enter__(self) -> Meter:
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started


class MtebEncoder(AbsEncoder):  # type: ignore[misc]
    """An encoder behind mteb's `EncoderProtocol`."""

    def __init__(self, encoder: Encoder, meter: Meter) -> None:
        self._encoder = encoder
        self._meter = meter
        self.info = encoder.describe()
        self.mteb_model_meta = model_meta(self.info)

    def encode(
        self, inputs: Any, *, task_metadata: TaskMetadata, prompt_type: Any = None, **kwargs: Any
    ) -> NDArray[np.float32]:
        """Vectors of the texts of a data loader, with the prompt that the model has for this task and side."""
        texts = [text for batch in inputs for text in batch["text"]]
        prompts = dict(self.info.prompts)
        name = get_prompt_name(prompts, task_metadata, prompt_type)
        role: Role | None = None if prompt_type is None else prompt_type.value
        self._meter.texts += len(texts)
        with self._meter:
            vectors = self._encoder.encode(
                texts, prompt=prompts.get(name), role=role, progress=kwargs.get("show_progress_bar", False)
            )
        if vectors.shape[0] != len(texts) or not np.isfinite(vectors).all():
            raise ValueError(f"the model gave vectors of shape {vectors.shape} or not finite for {len(texts)} texts")
        return vectors

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The model's own similarity of each row with each row."""
        return self._encoder.similarity(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The model's own similarity of row i with row i."""
        return self._encoder.similarity_pairwise(embeddings1, embeddings2)


class MtebSearcher:
    """A search engine behind mteb's `SearchProtocol`."""

    def __init__(self, searcher: Searcher, meter: Meter) -> None:
        self._searcher = searcher
        self._meter = meter
        self._ids: list[str] = []
        self.info = searcher.describe()
        self.mteb_model_meta = model_meta(self.info)

    def index(self, corpus: Any, **_: Any) -> None:
        """Index a corpus with the columns `id`, `text` and perhaps `title`."""
        self._ids = list(corpus["id"])
        documents = [f"{row.get('title') or ''} {row['text']}".strip() for row in corpus]
        self._meter.texts += len(documents)
        with self._meter:
            self._searcher.index(documents)

    def search(
        self, queries: Any, *, top_k: int, top_ranked: Mapping[str, Sequence[str]] | None = None, **_: Any
    ) -> dict[str, dict[str, float]]:
        """Best `top_k` documents by query id; of equal scores the one that stands first in the corpus is better."""
        position = {document: i for i, document in enumerate(self._ids)}
        results = {}
        for row in queries:
            text = f"{row['text']} {row.get('instruction') or ''}".strip()
            self._meter.texts += 1
            with self._meter:
                scores = self._searcher.search(text)
            candidates = np.arange(len(self._ids))
            if top_ranked is not None:
                candidates = np.array([position[document] for document in top_ranked.get(row["id"], ())], dtype=int)
            best = candidates[np.argsort(-scores[candidates], kind="stable")[:top_k]]
            results[row["id"]] = {self._ids[i]: float(scores[i]) for i in best}
        return results


def model_meta(info: ModelInfo) -> ModelMeta:
    """Description of a model for mteb, with the content hash as revision.

    mteb keys what it remembers by name and revision alone, and gives every local model the same ones, so that it would
    serve one model the scores of another.
    """
    return ModelMeta.create_empty(
        overwrites={
            "name": f"zoo/{re.sub(r'[^A-Za-z0-9._-]', '_', info.name)}",
            "revision": info.revision,
            "max_tokens": info.max_length,
            "embed_dim": info.dim,
            "n_parameters": info.parameters.total if info.parameters else None,
        }
    )
