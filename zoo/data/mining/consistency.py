"""Consistency filtering: a pair stays if a teacher finds its document for its query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from zoo.contracts import JsonDict
from zoo.data.cache import content_key
from zoo.data.corpus import SPLITS
from zoo.data.mining.pair_folder import Piece, write_pairs
from zoo.data.mining.pair_texts import Numbers, PairTexts
from zoo.data.mining.teacher import Teacher
from zoo.data.pair_source import PairSource

# scores that are held at a time: 128 MB
_QUERIES, _DOCUMENTS = 4096, 8192


@dataclass(frozen=True)
class Consistency:
    """Which pairs of a shard are consistent: fewer than `top_k` of its distinct documents score above the pair's own.

    Args:
        texts: all pairs.
        teacher: gives the scores.
        top_k: best documents of a query among which its own must be, at least 1.

    References:
        Dai et al., Promptagator, arXiv 2209.11755; Wang et al., E5, arXiv 2212.03533, section 3.
    """

    texts: PairTexts
    teacher: Teacher
    top_k: int

    def check(self, pairs: Numbers, documents: Numbers) -> NDArray[np.bool_]:
        """Whether each of some pairs stays: (pairs,).

        Args:
            pairs: numbers of query and document, (pairs, 2), at most a few thousand: their scores are held.
            documents: numbers of the distinct documents of their shard, ascending.
        """
        vectors = self.teacher.encode([self.texts.queries[number] for number in pairs[:, 0].tolist()], "query")
        own = self.teacher.scores_of_pairs(vectors, self._documents(pairs[:, 1]))
        places = np.searchsorted(documents, pairs[:, 1])
        above = np.zeros(len(pairs), dtype=np.int64)
        blocks = range(0, len(documents), _DOCUMENTS)
        for first in tqdm(blocks, desc="documents", unit=" blocks", leave=False, disable=None):
            block = documents[first : first + _DOCUMENTS]
            higher = self.teacher.scores(vectors, self._documents(block)) > own[:, None]
            inside = np.flatnonzero((places >= first) & (places < first + len(block)))
            # the score of a pair alone and within a block may differ in the last bit
            higher[inside, places[inside] - first] = False
            above += higher.sum(axis=1)
        kept: NDArray[np.bool_] = above < self.top_k
        return kept

    def rows(self, pairs: Numbers, documents: Numbers) -> Iterator[JsonDict]:
        """Those of `pairs` that stay; arguments as for `check`."""
        return pair_rows(self.texts, pairs[self.check(pairs, documents)])

    def _documents(self, numbers: Numbers) -> NDArray[np.float32]:
        return self.teacher.encode([self.texts.documents[number] for number in numbers.tolist()], "document")


def filter_pairs(
    source: PairSource,
    teacher: Teacher,
    out: Path,
    top_k: int = 2,
    shard_pairs: int = 1_000_000,
    cache_dir: str | None = None,
) -> JsonDict:
    """Write the consistent training pairs of `source` to a new folder, a file a split; go on where it stopped.

    The training pairs are put in the order of a hash of their texts and cut into shards of equal size, so that a shard
    does not depend on the order of the rows. Validation and test pairs are written as they are.

    Args:
        source: the pairs; negatives that it may have are not read.
        teacher: gives the scores.
        out: the new folder.
        top_k: see `Consistency`.
        shard_pairs: most pairs of a shard, at least 2.
        cache_dir: root of the caches, which keeps what is finished; None takes `ZOO_CACHE` or the user's cache folder.

    Returns:
        Settings and counts, as they stand in `pairs.json`.

    Raises:
        FileNotFoundError: if nothing is found at the path of the source.
        ValueError: if the source, `top_k` or `shard_pairs` cannot be used, or `out` holds something else.
    """
    if top_k < 1 or shard_pairs < 2:
        raise ValueError(f"top_k must be at least 1 and shard_pairs at least 2, not {top_k} and {shard_pairs}")
    texts = PairTexts.read(source)
    settings = {
        "made_by": "zoo filter",
        "source": texts.name,
        "content_hash": texts.content_hash,
        "teacher": teacher.name,
        "teacher_revision": teacher.revision,
        "top_k": top_k,
        "shard_pairs": shard_pairs,
    }
    consistency = Consistency(texts, teacher, top_k)
    pieces = []
    for shard in shards(texts, shard_pairs):
        documents = np.unique(shard[:, 1])
        for first in range(0, len(shard), _QUERIES):
            pieces.append(Piece("train", partial(consistency.rows, shard[first : first + _QUERIES], documents)))
    held_out = [split for split in SPLITS if split != "train"]
    pieces += [Piece(split, partial(pair_rows, texts, texts.pairs[split])) for split in held_out]
    return write_pairs(out, settings, pieces, {split: len(texts.pairs[split]) for split in SPLITS}, cache_dir)


def shards(texts: PairTexts, shard_pairs: int) -> list[Numbers]:
    """Training pairs in shards of equal size up to one, by their content.

    Args:
        texts: all pairs.
        shard_pairs: most pairs of a shard.
    """
    pairs = texts.pairs["train"]
    keys = [content_key(texts.queries[query], texts.documents[document]).encode() for query, document in pairs.tolist()]
    return np.array_split(pairs[np.argsort(np.array(keys), kind="stable")], -(-len(pairs) // shard_pairs))


def pair_rows(texts: PairTexts, pairs: Numbers) -> Iterator[JsonDict]:
    """Rows as they are written."""
    for query, document in pairs.tolist():
        yield {"query": texts.queries[query], "document": texts.documents[document]}
