"""Hard negatives: documents that a teacher takes for nearly as good as a query's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from zoo.contracts import JsonDict
from zoo.data.corpus import SPLITS
from zoo.data.mining.pair_folder import Piece, write_pairs
from zoo.data.mining.pair_texts import Numbers, PairTexts
from zoo.data.mining.teacher import Teacher
from zoo.data.mining.top_places import TopPlaces
from zoo.data.pair_source import PairSource

# scores that are held at a time: 128 MB
_QUERIES, _DOCUMENTS = 4096, 8192


@dataclass(frozen=True)
class HardNegatives:
    """Exact search for the hard negatives of queries.

    Candidates are all documents of the training split. Let l be the lowest score of a query's own documents, those of
    all rows and splits with that query. A candidate is accepted if it is none of them and its score is below margin l
    (below `l - (1 - margin) |l|` where l is negative). The accepted ones with the highest scores are taken.

    Args:
        texts: all pairs.
        teacher: gives the scores.
        number: n, negatives to find for each query; a query with fewer accepted candidates gets these.
        margin: in (0, 1].

    Raises:
        ValueError: if `number` or `margin` is out of range.

    References:
        de Souza P. Moreira et al., NV-Retriever, arXiv 2407.15831 (TopK-PercPos).
    """

    texts: PairTexts
    teacher: Teacher
    number: int
    margin: float

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"the number of negatives must be at least 1, not {self.number}")
        if not 0 < self.margin <= 1:
            raise ValueError(f"the margin is a share of the score of a query's own document, in (0, 1]: {self.margin}")

    def search(self, queries: Numbers) -> list[list[tuple[int, float]]]:
        """Number and score of the hard negatives of some queries, best first.

        Args:
            queries: numbers of at most a few thousand queries: their scores with a block of documents are held.
        """
        texts, teacher = self.texts, self.teacher
        vectors = teacher.encode([texts.queries[number] for number in queries.tolist()], "query")
        rows, positives = texts.positives(queries)
        own = teacher.encode([texts.documents[number] for number in positives.tolist()], "document")
        lowest = np.full(len(queries), np.inf, dtype=np.float32)
        np.minimum.at(lowest, rows, teacher.scores_of_pairs(vectors[rows], own))
        limit = lowest - (1 - self.margin) * np.abs(lowest)
        best = TopPlaces(len(queries), self.number)
        blocks = range(0, texts.num_training_documents, _DOCUMENTS)
        for first in tqdm(blocks, desc="documents", unit=" blocks", leave=False, disable=None):
            last = min(first + _DOCUMENTS, texts.num_training_documents)
            scores = teacher.scores(vectors, teacher.encode(texts.documents[first:last], "document"))
            scores[scores >= limit[:, None]] = -np.inf
            inside = (positives >= first) & (positives < last)
            scores[rows[inside], positives[inside] - first] = -np.inf
            best.add(first, scores)
        return best.results()

    def rows(self, pairs: Numbers) -> Iterator[JsonDict]:
        """Some pairs with their negatives, without those whose query found fewer than n.

        Args:
            pairs: numbers of query and document, (pairs, 2); of at most a few thousand queries.
        """
        queries, places = np.unique(pairs[:, 0], return_inverse=True)
        found = self.search(queries)
        own = self._scores_of_pairs(pairs).tolist()
        for (query, document), score, place in zip(pairs.tolist(), own, places.tolist(), strict=True):
            if len(found[place]) == self.number:
                yield {
                    "query": self.texts.queries[query],
                    "document": self.texts.documents[document],
                    "negatives": [self.texts.documents[negative] for negative, _ in found[place]],
                    "scores": [round(value, 6) for value in (score, *(value for _, value in found[place]))],
                }

    def _scores_of_pairs(self, pairs: Numbers) -> NDArray[np.float32]:
        queries = self.teacher.encode([self.texts.queries[number] for number in pairs[:, 0].tolist()], "query")
        documents = self.teacher.encode([self.texts.documents[number] for number in pairs[:, 1].tolist()], "document")
        return self.teacher.scores_of_pairs(queries, documents)


def mine_negatives(
    source: PairSource,
    teacher: Teacher,
    out: Path,
    number: int = 7,
    margin: float = 0.95,
    cache_dir: str | None = None,
) -> JsonDict:
    """Write the pairs of `source` with hard negatives to a new folder, a file a split; go on where it stopped.

    The rows of a query stand together and have the same negatives, the hardest first; `scores` are the teacher's of the
    document and of each negative. Rows whose query has fewer than `number` accepted candidates are left out.

    Args:
        source: the pairs; negatives that it may have are not read.
        teacher: gives the scores.
        out: the new folder.
        number: negatives of each query.
        margin: see `HardNegatives`.
        cache_dir: root of the caches, which keeps what is finished; None takes `ZOO_CACHE` or the user's cache folder.

    Returns:
        Settings and counts, as they stand in `pairs.json`.

    Raises:
        FileNotFoundError: if nothing is found at the path of the source.
        ValueError: if the source, `number` or `margin` cannot be used, or `out` holds something else.
    """
    texts = PairTexts.read(source)
    negatives = HardNegatives(texts, teacher, number, margin)
    settings = {
        "made_by": "zoo mine",
        "source": texts.name,
        "content_hash": texts.content_hash,
        "teacher": teacher.name,
        "teacher_revision": teacher.revision,
        "num_negatives": number,
        "margin": margin,
    }
    pieces = [Piece(split, partial(negatives.rows, part)) for split in SPLITS for part in _by_query(texts.pairs[split])]
    return write_pairs(out, settings, pieces, {split: len(texts.pairs[split]) for split in SPLITS}, cache_dir)


def _by_query(pairs: Numbers) -> list[Numbers]:
    """Pairs with those of a query together, in parts of so many queries as are searched for at a time."""
    ordered = pairs[np.argsort(pairs[:, 0], kind="stable")]
    firsts = np.flatnonzero(np.diff(ordered[:, 0], prepend=-1))
    return np.split(ordered, firsts[_QUERIES::_QUERIES])
