"""The best documents of each query by faiss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class FaissDocuments:
    """An exact inner-product index of faiss (`IndexFlatIP`) over documents that come in blocks.

    Ties are broken as in `TopDocuments`: as long as the last document found has the score of the last one to keep, the
    index is asked for more. All vectors are held in memory.

    Args:
        ids: of all documents, each once.
        queries: vectors (queries, dim).
        k: documents to keep a query.
        similarity: name of the model's similarity, `cosine` or `dot`.

    Raises:
        ValueError: if the similarity is another one, or faiss is not installed.
    """

    def __init__(self, ids: Sequence[str], queries: NDArray[np.float32], k: int, similarity: str) -> None:
        if similarity not in ("cosine", "dot"):
            raise ValueError(f"faiss searches by inner product, and this model compares by {similarity}: leave it out")
        try:
            import faiss
        except ImportError:
            raise ValueError("faiss is not installed: pip install 'zoo[faiss]', or leave it out") from None
        self._ids = ids
        self._k = min(k, len(ids))
        self._unit = similarity == "cosine"
        self._queries = self._prepared(queries)
        self._index: Any = faiss.IndexFlatIP(queries.shape[1])

    def add(self, first: int, documents: NDArray[np.float32]) -> None:
        """Add a block of documents, in the order of the ids.

        Args:
            first: place of its first document among all.
            documents: vectors (documents, dim).
        """
        assert first == self._index.ntotal, "blocks come in order"
        if len(documents):
            self._index.add(self._prepared(documents))

    def results(self) -> list[dict[str, float]]:
        """Scores by document id, best first, for each query.

        Raises:
            ValueError: if a score is not a number.
        """
        if self._k == 0:
            return [{} for _ in self._queries]
        found: list[dict[str, float]] = [{} for _ in self._queries]
        open_rows, asked = np.arange(len(self._queries)), self._k + 1
        while len(open_rows):
            asked = min(asked, len(self._ids))
            scores, places = self._index.search(self._queries[open_rows], asked)
            if np.isnan(scores).any() or (places < 0).any():
                raise ValueError("the similarity of some query and document is not a number")
            crowded = (scores[:, -1] == scores[:, self._k - 1]) & (asked < len(self._ids))
            for row in np.flatnonzero(~crowded):
                found[open_rows[row]] = self._first(scores[row], places[row])
            open_rows, asked = open_rows[crowded], 2 * asked
        return found

    def _first(self, scores: NDArray[np.float32], places: NDArray[np.int64]) -> dict[str, float]:
        pairs = [(score, self._ids[place]) for score, place in zip(scores.tolist(), places.tolist(), strict=True)]
        return {document: score for score, document in sorted(pairs, reverse=True)[: self._k]}

    def _prepared(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self._unit:
            return np.ascontiguousarray(vectors, dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = np.ascontiguousarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
        return unit
