"""A cross-encoder as mteb's searches want it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.adapters import model_meta
from bench.models.bm25 import BM25Model
from bench.records import ModelInfo

if TYPE_CHECKING:
    from bench.embedding import Meter


class CrossEncoder(Protocol):
    """Scores pairs of texts."""

    def describe(self) -> ModelInfo:
        """What is being scored."""

    def score(self, pairs: Sequence[tuple[str, str]], *, progress: bool = False) -> NDArray[np.float32]:
        """Score of each (query, document): (len(pairs),)."""


class MtebReranker:
    """A cross-encoder behind mteb's `SearchProtocol`.

    It ranks the candidates of a task, or where there are none the best documents that BM25 finds.

    Args:
        model: scores pairs.
        meter: of its seconds and texts; a text is one pair.
        depth: documents of BM25 that are ranked for each query.
    """

    def __init__(self, model: CrossEncoder, meter: Meter, depth: int = 100) -> None:
        self._model = model
        self._meter = meter
        self._depth = depth
        self._documents: dict[str, str] = {}
        self.info = model.describe()
        self.mteb_model_meta = model_meta(self.info)

    def index(self, corpus: Any, **_: Any) -> None:
        """Keep a corpus with the columns `id`, `text` and perhaps `title`."""
        self._documents = {row["id"]: f"{row.get('title') or ''} {row['text']}".strip() for row in corpus}

    def search(
        self,
        queries: Any,
        *,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        encode_kwargs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> dict[str, dict[str, float]]:
        """Best `top_k` documents by query id; of equal scores the one with the smaller id is better."""
        texts = {row["id"]: f"{row['text']} {row.get('instruction') or ''}".strip() for row in queries}
        candidates = self._first_stage(texts) if top_ranked is None else top_ranked
        asked = [(query, document) for query in texts for document in dict.fromkeys(candidates.get(query, ()))]
        pairs = [(texts[query], self._documents[document]) for query, document in asked]
        self._meter.texts += len(pairs)
        self._meter.texts_encoded += len(set(pairs))
        with self._meter:
            scores = self._model.score(pairs, progress=bool((encode_kwargs or {}).get("show_progress_bar")))
        found: dict[str, list[tuple[float, str]]] = {query: [] for query in texts}
        for (query, document), score in zip(asked, scores.tolist(), strict=True):
            found[query].append((-score, document))
        return {query: {document: -score for score, document in sorted(best)[:top_k]} for query, best in found.items()}

    def _first_stage(self, queries: Mapping[str, str]) -> dict[str, list[str]]:
        """Best documents of BM25 by query; of equal scores the one with the smaller id."""
        engine, ids = BM25Model(), sorted(self._documents)
        engine.index([self._documents[document] for document in ids])
        best = {}
        for query, text in queries.items():
            order = np.argsort(-engine.search(text), kind="stable")[: self._depth]
            best[query] = [ids[i] for i in order]
        return best
