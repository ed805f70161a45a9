"""Our models as mteb wants them, with a name and a revision that no other weights share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder, get_prompt_name
from mteb.types import PromptType
from numpy.typing import NDArray

from bench.embedding import Embedder, Meter
from bench.protocols import NotApplicableError, Role, Searcher
from bench.records import ModelInfo
from bench.search.dense_search import DenseSearch

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata


class MtebEncoder(AbsEncoder):  # type: ignore[misc]
    """A model behind mteb's `EncoderProtocol` and `SearchProtocol`.

    mteb remembers vectors by task and text, so that one model is served those of another; here they are the embedder's,
    which knows them by the content of the model.

    Args:
        embedder: of the model.
        faiss: whether faiss searches; the vectors of a corpus must fit into the memory then.
    """

    def __init__(self, embedder: Embedder, *, faiss: bool = False) -> None:
        self._embedder = embedder
        self._search = DenseSearch(embedder, faiss)
        self._corpus: Any = None
        self.info = embedder.info
        self.mteb_model_meta = model_meta(self.info)

    def encode(
        self, inputs: Any, *, task_metadata: TaskMetadata, prompt_type: Any = None, **kwargs: Any
    ) -> NDArray[np.float32]:
        """Vectors of the texts of a data loader, with the prompt that the model has for this task and side."""
        texts = [text for batch in inputs for text in _texts(batch)]
        role: Role | None = None if prompt_type is None else prompt_type.value
        prompt = self._prompt(task_metadata, prompt_type)
        return self._embedder.encode(texts, prompt=prompt, role=role, progress=_wants_progress(kwargs))

    def index(self, corpus: Any, **_: Any) -> None:
        """Remember a corpus with the columns `id`, `text` and perhaps `title`; it is encoded while it is searched."""
        self._corpus = corpus

    def search(
        self,
        queries: Any,
        *,
        task_metadata: TaskMetadata,
        top_k: int,
        encode_kwargs: Any = None,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **_: Any,
    ) -> dict[str, dict[str, float]]:
        """Best `top_k` documents by query id, among the candidates of each query where there are any."""
        assert self._corpus is not None, "index() comes first"
        prompts = {side.value: self._prompt(task_metadata, side) for side in PromptType}
        progress = _wants_progress(encode_kwargs or {})
        corpus, self._corpus = self._corpus, None
        if top_ranked is None:
            return self._search.full(corpus, queries, top_k, prompts, progress)
        return self._search.rerank(corpus, queries, top_k, top_ranked, prompts, progress)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The model's own similarity of each row with each row."""
        return self._embedder.similarity(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """The model's own similarity of row i with row i."""
        return self._embedder.similarity_pairwise(embeddings1, embeddings2)

    def _prompt(self, task: TaskMetadata, side: PromptType | None) -> str | None:
        prompts = dict(self.info.prompts)
        return prompts.get(get_prompt_name(prompts, task, side))


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
        self._meter.texts_encoded += len(documents)
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
            self._meter.texts_encoded += 1
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


def _texts(batch: Mapping[str, Any]) -> list[str]:
    if "text" not in batch:
        raise NotApplicableError(f"the task gives {', '.join(batch)} and no text")
    texts: list[str] = batch["text"]
    return texts


def _wants_progress(options: Mapping[str, Any]) -> bool:
    return bool(options.get("show_progress_bar", False))
