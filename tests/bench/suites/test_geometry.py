from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.embedding import Embedder
from bench.geometry import norms
from bench.parallel import ALONE
from bench.protocols import Context, NotApplicableError
from bench.suites import catalog, geometry
from bench.suites.geometry import SentenceGeometry, TableGeometry

ROWS = np.random.default_rng(0).normal(size=(40, 6)) + 0.5


@dataclass
class Vocabulary:
    """40 tokens, of which the first two are special."""

    counts: NDArray[np.int64] | None = None
    tied: bool = False
    special_ids: tuple[int, ...] = (0, 1)

    @property
    def token_counts(self) -> NDArray[np.int64] | None:
        return self.counts

    def describe(self) -> Any:
        return "info"

    def table(self, side: str) -> NDArray[np.float64] | None:
        return ROWS if side == "input" else None

    def token_id(self, word: str, *, leading_space: bool) -> int | None:
        raise NotImplementedError


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path, tmp_path, ALONE, None, progress=False)


def test_a_table_is_scored_whole(new_model: Callable[..., Any], context: Context) -> None:
    task = TableGeometry("InputTableGeometry")
    task.prepare()
    outcome = task.score(new_model(vocabulary=Vocabulary()), context)
    assert outcome.task == task.info
    assert not task.info.higher_is_better
    assert outcome.scores.main == pytest.approx(norms.mean_norm_ratio(ROWS))
    assert outcome.scores.all["rows"] == 40
    assert outcome.scores.interval is None
    assert outcome.examples is None
    assert "nothing was sampled" in outcome.scores.absent["interval"]
    assert "not known" in outcome.scores.absent["norm_log_count_pearson"]


def test_special_tokens_that_never_occur_are_left_out_and_others_are_not(
    new_model: Callable[..., Any], context: Context
) -> None:
    counts = np.arange(40)
    counts[5] = 0
    scores = TableGeometry("InputTableGeometry").score(new_model(vocabulary=Vocabulary(counts)), context).scores
    assert scores.all["rows"] == 39, "token 0 is special and never occurs, token 5 is a word"
    assert scores.main == pytest.approx(norms.mean_norm_ratio(ROWS[1:]))
    assert "norm_log_count_pearson" in scores.all
    assert (counts[5], counts[6]) == (0, 6), "what the model gave is not changed"


@dataclass
class TwoTables(Vocabulary):
    """The classifier is a linear map of the words, but for that of token 0."""

    def table(self, side: str) -> NDArray[np.float64]:
        mapped = 2 * ROWS
        mapped[0, 0] += 1
        return ROWS if side == "input" else mapped


def test_tables_apart_are_compared(new_model: Callable[..., Any], context: Context) -> None:
    def scores(name: str, **options: Any) -> Any:
        return TableGeometry(name).score(new_model(vocabulary=TwoTables(**options)), context).scores.all

    assert 0.001 < scores("OutputTableGeometry")["subspace_distance"] < 0.1
    occur = np.arange(40)
    assert scores("OutputTableGeometry", counts=occur)["subspace_distance"] < 1e-12, "token 0 never occurs"
    assert "subspace_distance" not in scores("OutputTableGeometry", tied=True)
    assert "subspace_distance" not in scores("InputTableGeometry")


def test_what_has_no_table_is_not_scored(new_model: Callable[..., Any], context: Context) -> None:
    with pytest.raises(NotApplicableError, match="tables of tokens"):
        TableGeometry("InputTableGeometry").describe(new_model(encoder=object()))
    with pytest.raises(NotApplicableError, match="no output table"):
        TableGeometry("OutputTableGeometry").score(new_model(vocabulary=Vocabulary()), context)
    with pytest.raises(NotApplicableError, match="needs an encoder"):
        catalog.build([], ["SentenceGeometry"])[0].describe(new_model(vocabulary=Vocabulary()))


@pytest.fixture(autouse=True)
def _small_corpus(monkeypatch: pytest.MonkeyPatch, new_splits: Callable[..., Any]) -> None:
    monkeypatch.setattr("zoo.data.pydoc_splits.load_pydoc", lambda **_: new_splits())


def test_the_suite_has_its_tasks() -> None:
    assert tuple(task.info.name for task in catalog.build(["geometry"], [])) == catalog.SUITES["geometry"]


def test_sentences_are_measured_with_an_interval(
    new_splits: Callable[..., Any], new_model: Callable[..., Any], new_encoder: Callable[..., Any], tmp_path: Path
) -> None:
    encoder = new_encoder()
    context = Context(tmp_path, tmp_path, ALONE, Embedder(encoder), progress=False)
    task = SentenceGeometry(new_splits())
    task.prepare()
    outcome = task.score(new_model(encoder=encoder), context)
    scores, examples = outcome.scores, outcome.examples
    assert examples is not None
    assert examples.count == scores.all["rows"] == 60
    assert examples.statistic() == pytest.approx(scores.main, rel=1e-12)
    assert scores.interval is not None
    assert scores.interval.low < scores.main < scores.interval.high
    assert {"alignment", "uniformity", "hubness_skew_10"} <= scores.all.keys()
    assert outcome.texts == 3 * 60
    again = task.score(new_model(encoder=encoder), context)
    assert again.texts_encoded == 0, "a text is encoded once"
    assert again.scores == scores


def test_pairs_are_queries_and_documents(
    new_splits: Callable[..., Any], new_model: Callable[..., Any], new_encoder: Callable[..., Any], tmp_path: Path
) -> None:
    encoder = new_encoder()
    context = Context(tmp_path, tmp_path, ALONE, Embedder(encoder), progress=False)
    SentenceGeometry(new_splits()).score(new_model(encoder=encoder), context)
    texts = {
        role: {text for called, _, as_role in encoder.calls if as_role == role for text in called}
        for role in (None, "query", "document")
    }
    assert texts[None] == texts["query"] == {pair.summary for pair in new_splits().pairs("test")}
    assert texts["document"] == {pair.code for pair in new_splits().pairs("test")}


def test_the_sample_is_chosen_by_hash_and_known_by_its_rows(
    new_splits: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SentenceGeometry(new_splits())
    assert whole.info.rows == SentenceGeometry(new_splits()).info.rows
    assert whole.info.rows != SentenceGeometry(new_splits(count=19)).info.rows
    monkeypatch.setattr(geometry, "NUM_SENTENCES", 7)
    monkeypatch.setattr(geometry, "NUM_PAIRS", 5)
    small = SentenceGeometry(new_splits())
    assert small._sentences == whole._sentences[:7]
    assert small._pairs == whole._pairs[:5]


def test_a_corpus_that_is_too_small_is_not_scored(new_splits: Callable[..., Any]) -> None:
    with pytest.raises(NotApplicableError, match="too small: fewer than two held-out sentences"):
        SentenceGeometry(new_splits(topics=())).prepare()
