"""Batches out of token caches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.contracts import PackedBatch, PairBatch
from zoo.data.token_cache import TokenCache

_NO_TEXT = 2  # tokens of a text that has none: [CLS] [SEP]


class TextWindows:
    """The texts of a cache in windows of at most `max_length` tokens, without loss of a token of text.

    A window is `[CLS]` and the next `max_length - 1` tokens of the text; `[SEP]` stands only where the text ends, and
    is left out where it would have to stand alone. So every token of text has a token before it in its window.

    Args:
        cache: the texts.
        max_length: most tokens of a window, `[CLS]` included; at least 8.
    """

    def __init__(self, cache: TokenCache, max_length: int) -> None:
        self.cache = cache
        self.step = max_length - 1
        used = np.flatnonzero(cache.lengths > _NO_TEXT)
        self.num_texts = len(used)
        self.num_empty = len(cache) - len(used)
        body = cache.lengths[used] - 1
        counts = -(-body // self.step)
        counts -= body % self.step == 1
        counts += body == 1
        self.texts = np.repeat(used, counts)
        first = np.cumsum(counts) - counts
        self.starts = (np.arange(len(self.texts)) - np.repeat(first, counts)) * self.step + 1
        self.lengths: NDArray[np.int64] = 1 + np.minimum(self.step, cache.lengths[self.texts] - self.starts)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, indices: list[int]) -> PackedBatch:
        """Windows `indices`, packed."""
        parts = []
        for text, start in zip(self.texts[indices].tolist(), self.starts[indices].tolist(), strict=True):
            tokens = self.cache[text]
            parts += [tokens[:1], tokens[start : start + self.step]]
        return pack(parts, self.lengths[indices])


class TextPairs:
    """Pairs of texts of two caches, perhaps with hard negatives of a third, each cut off after `max_length` tokens.

    Args:
        queries: query texts.
        documents: document i belongs to query i.
        max_length: most tokens of a text, `[CLS]` and `[SEP]` included.
        negatives: n texts a query, first the n of query 0; None if there are none.
        scores: a teacher's of each query's document and negatives, (pairs, 1 + n); None if there are none.
    """

    def __init__(
        self,
        queries: TokenCache,
        documents: TokenCache,
        max_length: int,
        negatives: TokenCache | None = None,
        scores: NDArray[np.float32] | None = None,
    ) -> None:
        assert len(queries) == len(documents)
        self.queries, self.documents, self.negatives, self.scores = queries, documents, negatives, scores
        self.max_length = max_length
        filled = (queries.lengths > _NO_TEXT) & (documents.lengths > _NO_TEXT)
        self.num_negatives = 0
        if negatives is not None and len(queries):
            self.num_negatives = len(negatives) // len(queries)
            assert len(negatives) == self.num_negatives * len(queries)
            filled &= (negatives.lengths.reshape(len(queries), -1) > _NO_TEXT).all(axis=1)
        self.rows = np.flatnonzero(filled)
        self.num_empty = len(queries) - len(self.rows)
        cut = (queries.lengths > max_length).astype(np.int64) + (documents.lengths > max_length)
        self.num_truncated = int(cut[self.rows].sum())

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def caches(self) -> list[TokenCache]:
        """Queries and documents; the hard negatives are documents of other queries."""
        return [self.queries, self.documents]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each pair, query, document and hard negatives together, after cutting."""
        total = sum((self._cut_lengths(c)[self.rows] for c in self.caches), np.zeros(len(self), np.int64))
        if self.negatives is not None:
            total += self._cut_lengths(self.negatives)[self._places(self.rows)].sum(axis=1)
        return total

    @property
    def counts(self) -> dict[str, Any]:
        """Counts for a record; tokens are those of queries and documents, without the special ones."""
        negatives = {"negatives": self.num_negatives * len(self)} if self.num_negatives else {}
        return {
            "pairs": len(self),
            "tokens": sum(int(cache.lengths.sum()) - 2 * len(cache) for cache in self.caches),
            "bytes": sum(cache.num_bytes for cache in self.caches),
            "truncated_texts": self.num_truncated,
            "dropped_empty": self.num_empty,
            **negatives,
        }

    def __getitem__(self, indices: list[int]) -> PairBatch:
        """Pairs `indices`."""
        rows = self.rows[indices]
        texts, lengths = self._cut(self.documents, rows)
        if self.negatives is not None:
            more_texts, more_lengths = self._cut(self.negatives, self._places(rows).ravel())
            texts, lengths = texts + more_texts, np.concatenate([lengths, more_lengths])
        scores = None if self.scores is None else torch.from_numpy(self.scores[rows])
        return PairBatch(pack(*self._cut(self.queries, rows)), pack(texts, lengths), scores)

    def _places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the hard negatives of each row: (rows, n)."""
        places: NDArray[np.int64] = rows[:, None] * self.num_negatives + np.arange(self.num_negatives)
        return places

    def _cut_lengths(self, cache: TokenCache) -> NDArray[np.int64]:
        return np.minimum(cache.lengths, self.max_length)

    def _cut(self, cache: TokenCache, numbers: NDArray[np.int64]) -> tuple[list[NDArray[Any]], NDArray[np.int64]]:
        """What the texts `numbers` are laid together from, and their lengths."""
        parts: list[NDArray[Any]] = []
        for number in numbers.tolist():
            tokens = cache[number]
            excess = len(tokens) > self.max_length
            parts += [tokens[: self.max_length - 1], tokens[-1:]] if excess else [tokens]
        return parts, np.minimum(cache.lengths[numbers], self.max_length)


def pack(parts: Sequence[NDArray[Any]], lengths: NDArray[np.int64]) -> PackedBatch:
    """Lay `parts` end to end; they make sequences of `lengths` tokens."""
    tokens = np.concatenate(parts, dtype=np.int64, casting="safe")
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    return PackedBatch(torch.from_numpy(tokens), torch.from_numpy(offsets), int(lengths.max()))
