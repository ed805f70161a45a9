"""The best documents of each query, over documents that come in blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Similarity = Callable[[Any, Any], Any]

# Scores that are looked at together: 128 MB of float32.
_SCORES = 32 * 1024 * 1024


class TopDocuments:
    """Keeps the `k` documents with the highest scores of each query.

    Of documents with equal scores the one whose id is greater is better, which is the order of trec_eval and mteb. That
    holds at the boundary of `k` too, where `torch.topk` picks any.

    Args:
        ids: of all documents, each once.
        queries: vectors (queries, dim).
        k: documents to keep a query.
        similarity: of rows with rows, (n, m).
    """

    def __init__(self, ids: Sequence[str], queries: NDArray[np.float32], k: int, similarity: Similarity) -> None:
        self._ids = ids
        self._queries = torch.from_numpy(queries)
        self._similarity = similarity
        self._k = min(k, len(ids))
        self._rank = ranks(ids)
        self._scores = torch.full((len(queries), 0), 0.0)
        self._places = torch.zeros((len(queries), 0), dtype=torch.int64)

    def add(self, first: int, documents: NDArray[np.float32]) -> None:
        """Score a block of documents.

        Args:
            first: place of its first document among all.
            documents: vectors (documents, dim).

        Raises:
            ValueError: if a score is not a number.
        """
        if len(documents) == 0 or len(self._queries) == 0:
            return
        block = torch.from_numpy(documents)
        size = max(1, _SCORES // len(documents))
        parts = [self._best(queries, block, first) for queries in self._queries.split(size)]
        scores = torch.cat([self._scores, torch.cat([scores for scores, _ in parts])], dim=1)
        places = torch.cat([self._places, torch.cat([places for _, places in parts])], dim=1)
        self._scores, self._places = _first(scores, places, self._rank, self._k)

    def results(self) -> list[dict[str, float]]:
        """Scores by document id, best first, for each query."""
        return [
            {self._ids[place]: score for place, score in zip(places, scores, strict=True)}
            for places, scores in zip(self._places.tolist(), self._scores.tolist(), strict=True)
        ]

    def _best(self, queries: Tensor, documents: Tensor, first: int) -> tuple[Tensor, Tensor]:
        scores = torch.as_tensor(self._similarity(queries, documents)).float().cpu()
        if scores.isnan().any():
            raise ValueError("the similarity of some query and document is not a number")
        k = min(self._k, scores.shape[1])
        values, places = scores.topk(k, dim=1)
        # more documents with the lowest score that made it than there was room for: take those with the greater ids
        crowded = (scores >= values[:, -1:]).sum(dim=1) > k
        for row in crowded.nonzero().flatten().tolist():
            tied = (scores[row] >= values[row, -1]).nonzero().flatten()
            kept = _first(scores[row, tied][None], tied[None], self._rank[first : first + scores.shape[1]], k)
            values[row], places[row] = kept[0][0], kept[1][0]
        return values, places + first


def ranks(ids: Sequence[str]) -> Tensor:
    """Place of each id in their sorted order; of two equal scores, that with the higher rank is better."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    rank = torch.empty(len(ids), dtype=torch.int64)
    rank[order] = torch.arange(len(ids))
    return rank


def _first(scores: Tensor, places: Tensor, rank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` best of each row, by score and then by rank of the document, best first."""
    by_rank = rank[places].argsort(dim=1, descending=True)
    scores, places = scores.gather(1, by_rank), places.gather(1, by_rank)
    by_score = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    return scores.gather(1, by_score), places.gather(1, by_score)
