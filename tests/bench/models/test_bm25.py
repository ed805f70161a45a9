from __future__ import annotations

import pytest

from bench.models import bm25
from bench.models.bm25 import BM25Model


def test_unknown_words_and_stop_words_score_nothing() -> None:
    model = BM25Model()
    model.index(["the iron", "a copper"])
    assert model.search("zinc the").tolist() == [0, 0]
    assert model.search("").tolist() == [0, 0]


def test_stems_match_where_words_do_not() -> None:
    plain, stemmed = BM25Model(), BM25Model(stemmed=True)
    for model in (plain, stemmed):
        model.index(["running horses", "a copper"])
    assert plain.search("horse run").tolist() == [0, 0]
    scores = stemmed.search("horse run")
    assert scores[0] > 0 == scores[1]


def test_options_are_the_identity() -> None:
    info = BM25Model().describe()
    assert {"stopwords", "stemmer", "k1", "b", "bm25s"} <= info.parts.keys()
    assert info == BM25Model().describe()
    stemmed = BM25Model(stemmed=True).describe()
    assert (stemmed.name, stemmed.source) == ("bm25-stemmed", "bm25-stemmed")
    assert stemmed.revision != info.revision


def test_other_options_are_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    before = BM25Model().describe().revision
    monkeypatch.setitem(bm25.OPTIONS, "k1", 1.2)
    assert BM25Model().describe().revision != before
