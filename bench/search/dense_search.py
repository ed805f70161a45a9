"""Search by vectors: a corpus is encoded and compared block by block, so that it may be larger than the memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mteb._create_dataloaders import _corpus_to_dict, _retrieval_texts
from mteb.types import PromptType

from bench.embedding import Embedder
from bench.protocols import NotApplicableError
from bench.search.faiss_documents import FaissDocuments
from bench.search.top_documents import TopDocuments

if TYPE_CHECKING:
    from datasets import Dataset

# Vectors of a block: 128 MB, and not so many texts that they weigh more than that themselves.
_BLOCK_NUMBERS = 32 * 1024 * 1024
_BLOCK_TEXTS = 50_000

_log = logging.getLogger(__name__)


class DenseSearch:
    """Ranks the documents of a corpus for queries.

    Args:
        embedder: of both.
        faiss: whether faiss does the search.
    """

    def __init__(self, embedder: Embedder, faiss: bool) -> None:
        self._embedder = embedder
        self._faiss = faiss

    def full(
        self, corpus: Dataset, queries: Dataset, k: int, prompts: Mapping[str, str | None], progress: bool
    ) -> dict[str, dict[str, float]]:
        """The `k` best documents of each query among all.

        Args:
            corpus: columns `id`, `text` and perhaps `title`.
            queries: columns `id`, `text` and perhaps `instruction`; a text may be a conversation.
            k: documents a query.
            prompts: put before texts, by side (`query`, `document`); None leaves the choice to the model.
            progress: whether to draw progress bars.

        Returns:
            Scores by document id, best first, by query id.
        """
        best = self._best(list(corpus["id"]), self._queries(queries, prompts, progress), k)
        for first, texts in _blocks(corpus, self._embedder.info.dim):
            vectors = self._embedder.encode(texts, prompt=prompts["document"], role="document", progress=progress)
            best.add(first, vectors)
        return dict(zip(queries["id"], best.results(), strict=True))

    def rerank(
        self,
        corpus: Dataset,
        queries: Dataset,
        k: int,
        top_ranked: Mapping[str, Sequence[str]],
        prompts: Mapping[str, str | None],
        progress: bool,
    ) -> dict[str, dict[str, float]]:
        """The `k` best of the candidates of each query; documents that are nobody's candidate are not encoded.

        Args:
            corpus: as for `full`.
            queries: as for `full`.
            k: documents a query.
            top_ranked: ids of the candidates by query id.
            prompts: as for `full`.
            progress: as for `full`.

        Returns:
            Scores by document id, best first, by query id.

        Raises:
            ValueError: if a candidate is not in the corpus.
        """
        ids = list(queries["id"])
        wanted = {document for query in ids for document in top_ranked.get(query, ())}
        places = [place for place, document in enumerate(corpus["id"]) if document in wanted]
        chosen = corpus.select(places)
        row = {document: number for number, document in enumerate(chosen["id"])}
        if len(row) < len(wanted):
            raise ValueError(f"candidate {min(wanted - row.keys())!r} of the reranking is not in the corpus")
        texts = [text for _, block in _blocks(chosen, self._embedder.info.dim) for text in block]
        documents = self._embedder.encode(texts, prompt=prompts["document"], role="document", progress=progress)
        results = {}
        for query, vector in zip(ids, self._queries(queries, prompts, progress), strict=True):
            candidates = list(dict.fromkeys(top_ranked.get(query, ())))
            if not candidates:
                _log.warning("query %s has no candidates to rank", query)
            best = TopDocuments(candidates, vector[None], k, self._embedder.similarity)
            best.add(0, documents[[row[document] for document in candidates]])
            results[query] = best.results()[0]
        return results

    def _best(self, ids: Sequence[str], queries: Any, k: int) -> TopDocuments | FaissDocuments:
        if self._faiss:
            return FaissDocuments(ids, queries, k, self._embedder.info.parts.get("similarity", "an unknown measure"))
        return TopDocuments(ids, queries, k, self._embedder.similarity)

    def _queries(self, queries: Dataset, prompts: Mapping[str, str | None], progress: bool) -> Any:
        _require_texts(queries)
        texts = list(_retrieval_texts(queries, PromptType.query))
        return self._embedder.encode(texts, prompt=prompts["query"], role="query", progress=progress)


def _blocks(corpus: Dataset, dim: int | None) -> Iterator[tuple[int, list[str]]]:
    """Place of the first document and the texts of each block, made as mteb makes them."""
    _require_texts(corpus)
    size = max(1, min(_BLOCK_TEXTS, _BLOCK_NUMBERS // (dim or 1)))
    columns = [name for name in ("id", "title", "text") if name in corpus.column_names]
    for first in range(0, len(corpus), size):
        rows = corpus.select_columns(columns).select(range(first, min(first + size, len(corpus))))
        yield first, [_corpus_to_dict(row)["text"] for row in rows]


def _require_texts(rows: Dataset) -> None:
    if "text" not in rows.column_names:
        raise NotApplicableError(f"the rows hold {', '.join(rows.column_names)} and no text")
