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
    """Pairs of texts of two caches, each cut off after `max_length` tokens.

    Args:
        queries: query texts.
        documents: document i belongs to query i.
        max_length: most tokens of a text, `[CLS]` and `[SEP]` included.
    """

    def __init__(self, queries: TokenCache, documents: TokenCache, max_length: int) -> None:
        assert len(queries) == len(documents)
        self.queries, self.documents = queries, documents
        self.max_length = max_length
        self.rows = np.flatnonzero((queries.lengths > _NO_TEXT) & (documents.lengths > _NO_TEXT))
        self.num_empty = len(queries) - len(self.rows)
        cut = (queries.lengths > max_length).astype(np.int64) + (documents.lengths > max_length)
        self.num_truncated = int(cut[self.rows].sum())

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each pair, query and document together, after cutting."""
        caches = (self.queries, self.documents)
        return sum((np.minimum(c.lengths[self.rows], self.max_length) for c in caches), np.zeros(len(self), np.int64))

    def __getitem__(self, indices: list[int]) -> PairBatch:
        """Pairs `indices`."""
        rows = self.rows[indices].tolist()
        return PairBatch(self._pack(self.queries, rows), self._pack(self.documents, rows))

    def _pack(self, cache: TokenCache, rows: list[int]) -> PackedBatch:
        parts = []
        for row in rows:
            tokens = cache[row]
            excess = len(tokens) > self.max_length
            parts += [tokens[: self.max_length - 1], tokens[-1:]] if excess else [tokens]
        return pack(parts, np.minimum(cache.lengths[rows], self.max_length))


def pack(parts: Sequence[NDArray[Any]], lengths: NDArray[np.int64]) -> PackedBatch:
    """Lay `parts` end to end; they make sequences of `lengths` tokens."""
    tokens = np.concatenate(parts, dtype=np.int64, casting="safe")
    offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
    return PackedBatch(torch.from_numpy(tokens), torch.from_numpy(offsets), int(lengths.max()))
