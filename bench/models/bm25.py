"""The lexical baselines that every embedding model has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.records import ModelInfo

OPTIONS = {"method": "lucene", "k1": 1.5, "b": 0.75, "stopwords": "en", "lower": True}


class BM25Model:
    """BM25 (Lucene's variant) over lower-cased words without English stop words.

    It ranks documents and makes no vectors, so it can be scored on retrieval and reranking alone.

    Args:
        stemmed: whether words are cut to their stems (Snowball, English), as Lucene's English analyzer does; then its
            name is `bm25-stemmed`.

    References:
        S. Robertson and H. Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009.
        X. H. Lù, BM25S: Orders of magnitude faster lexical search via eager sparse scoring, arXiv:2407.03618.
    """

    encoder = None
    language_model = None
    vocabulary = None
    cross_encoder = None

    def __init__(self, *, stemmed: bool = False) -> None:
        self._stemmed = stemmed
        self._index: Any = None

    @property
    def searcher(self) -> BM25Model:
        """This model."""
        return self

    def describe(self) -> ModelInfo:
        """What is being scored; the options and the versions of the libraries are its identity."""
        parts = {name: str(value) for name, value in OPTIONS.items()} | {"bm25s": version("bm25s"), "stemmer": "none"}
        if self._stemmed:
            parts["stemmer"] = f"snowball english, PyStemmer {version('PyStemmer')}"
        name = "bm25-stemmed" if self._stemmed else "bm25"
        return ModelInfo(name=name, parts=parts, kind="lexical", dtype="float32", source=name)

    def index(self, documents: Sequence[str]) -> None:
        """Count the words of `documents`."""
        import bm25s

        self._index = bm25s.BM25(method=OPTIONS["method"], k1=OPTIONS["k1"], b=OPTIONS["b"])
        self._index.index(self.words(documents), show_progress=False)

    def search(self, query: str) -> NDArray[np.float32]:
        """BM25 score of every indexed document: (documents,)."""
        assert self._index is not None, "index() comes first"
        known = self._index.get_tokens_ids(self.words([query])[0])
        scores: NDArray[np.float32] = self._index.get_scores_from_ids(known)
        return scores

    def words(self, texts: Sequence[str]) -> list[list[str]]:
        """The words of each text that are counted."""
        import bm25s

        words: list[list[str]] = bm25s.tokenize(
            list(texts),
            lower=OPTIONS["lower"],
            stopwords=OPTIONS["stopwords"],
            stemmer=_stemmer() if self._stemmed else None,
            return_ids=False,
            show_progress=False,
        )
        return words


def _stemmer() -> Any:
    import Stemmer

    return Stemmer.Stemmer("english")
