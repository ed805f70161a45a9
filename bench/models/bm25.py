"""The lexical baseline that every embedding model has to beat."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.records import ModelInfo

OPTIONS = {"method": "lucene", "k1": 1.5, "b": 0.75, "stopwords": "en", "stemmer": None, "lower": True}


class BM25Model:
    """BM25 (Lucene's variant) over lower-cased words without English stop words and without a stemmer.

    It ranks documents and makes no vectors, so it can be scored on retrieval and reranking alone.

    References:
        S. Robertson and H. Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009.
        X. H. Lù, BM25S: Orders of magnitude faster lexical search via eager sparse scoring, arXiv:2407.03618.
    """

    encoder = None
    language_model = None

    def __init__(self) -> None:
        self._index: Any = None

    @property
    def searcher(self) -> BM25Model:
        """This model."""
        return self

    def describe(self) -> ModelInfo:
        """What is being scored; the options and the version of the library are its identity."""
        config = {**OPTIONS, "bm25s": version("bm25s")}
        revision = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
        return ModelInfo(name="bm25", revision=revision, kind="lexical", dtype="float32", config=config)

    def index(self, documents: Sequence[str]) -> None:
        """Count the words of `documents`."""
        import bm25s

        self._index = bm25s.BM25(method=OPTIONS["method"], k1=OPTIONS["k1"], b=OPTIONS["b"])
        self._index.index(_words(documents), show_progress=False)

    def search(self, query: str) -> NDArray[np.float32]:
        """BM25 score of every indexed document: (documents,)."""
        assert self._index is not None, "index() comes first"
        known = self._index.get_tokens_ids(_words([query])[0])
        scores: NDArray[np.float32] = self._index.get_scores_from_ids(known)
        return scores


def _words(texts: Sequence[str]) -> list[list[str]]:
    import bm25s

    words: list[list[str]] = bm25s.tokenize(
        list(texts),
        lower=OPTIONS["lower"],
        stopwords=OPTIONS["stopwords"],
        stemmer=OPTIONS["stemmer"],
        return_ids=False,
        show_progress=False,
    )
    return words
