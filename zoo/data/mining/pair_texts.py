"""The distinct texts of a source of pairs, and which belongs to which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zoo.data.corpus import SPLITS
from zoo.data.pair_source import PairCorpus, PairSource

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class PairTexts:
    """Distinct texts of all splits, in memory, numbered in the order of their first appearance.

    Args:
        name: what the source is called.
        content_hash: of its rows.
        queries: each once.
        documents: each once, those of the training split first.
        num_training_documents: how many these are.
        pairs: by split, the numbers of query and document of each pair: (pairs, 2).
    """

    name: str
    content_hash: str
    queries: list[str]
    documents: list[str]
    num_training_documents: int
    pairs: Mapping[str, Numbers]

    @classmethod
    def read(cls, source: PairSource) -> PairTexts:
        """Read `source`.

        Raises:
            FileNotFoundError: if nothing is found at its path.
            ValueError: if a query has no document, a document no query, or there is one training pair only.
        """
        corpus = PairCorpus(source)
        queries: dict[str, int] = {}
        documents: dict[str, int] = {}
        pairs: dict[str, Numbers] = {}
        num_training_documents = 0
        for split in SPLITS:
            rows = [
                (queries.setdefault(query, len(queries)), documents.setdefault(document, len(documents)))
                for query, document in _filled(corpus, split)
            ]
            pairs[split] = np.array(rows, dtype=np.int64)
            if split == "train":
                num_training_documents = len(documents)
        if len(pairs["train"]) == 1:
            raise ValueError(f"the train split of {corpus.name} has one pair, and no other to compare with: add pairs")
        return cls(corpus.name, corpus.content_hash, list(queries), list(documents), num_training_documents, pairs)

    def positives(self, queries: Numbers) -> tuple[Numbers, Numbers]:
        """All documents of some queries, in whatever split they stand.

        Args:
            queries: numbers of queries.

        Returns:
            For each such document the place of its query in `queries`, ascending, and its number.
        """
        offsets, documents = self._documents_of_queries
        counts = offsets[queries + 1] - offsets[queries]
        places = np.repeat(np.arange(len(queries)), counts)
        within = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        return places, documents[offsets[queries][places] + within]

    @cached_property
    def _documents_of_queries(self) -> tuple[Numbers, Numbers]:
        """Where the documents of each query begin, and the end; and the documents, query after query."""
        distinct = np.unique(np.concatenate(list(self.pairs.values())), axis=0)
        counts = np.bincount(distinct[:, 0], minlength=len(self.queries))
        return np.concatenate([[0], np.cumsum(counts)]), distinct[:, 1]


def _filled(corpus: PairCorpus, split: str) -> Iterator[tuple[str, str]]:
    for number, (query, document, *_) in enumerate(corpus.rows.readers[split](), start=1):
        if not (query.strip() and document.strip()):
            lacking = "a query without a document" if query.strip() else "a document without a query"
            raise ValueError(f"{corpus.name}: row {number} of the {split} split is {lacking}: fill or remove it")
        yield query, document
