from __future__ import annotations

import pytest

from bench.models import bm25
from bench.models.bm25 import BM25Model


def test_unknown_words_and_stop_words_score_nothing() -> None:
    model = BM25Model()
    model.index(["the iron", "a copper"])
    assert model.search("zinc the").tolist() == [0, 0]
    assert model.search("").tolist() == [0, 0]


def test_options_are_the_identity() -> None:
    info = BM25Model().describe()
    assert info.config is not None
    assert {"stopwords", "stemmer", "k1", "b", "bm25s"} <= info.config.keys()
    assert info == BM25Model().describe()


def test_other_options_are_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    before = BM25Model().describe().revision
    monkeypatch.setitem(bm25.OPTIONS, "k1", 1.2)
    assert BM25Model().describe().revision != before
