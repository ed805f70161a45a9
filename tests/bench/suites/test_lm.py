from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.parallel import ALONE
from bench.protocols import Context, NotApplicableError
from bench.suites import lm


@dataclass(frozen=True)
class Sums:
    window_nats: NDArray[np.float64]
    window_tokens: NDArray[np.int64]
    window_bytes: NDArray[np.int64]
    window_ranking: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    calibrated: bool = False

    @property
    def nats(self) -> float:
        return float(self.window_nats.sum())

    @property
    def tokens(self) -> int:
        return int(self.window_tokens.sum())

    @property
    def bytes(self) -> int:
        return int(self.window_bytes.sum())


@dataclass
class FakeLanguageModel:
    """Every byte is one token of one of 256 kinds; how likely it is depends on the text, and so do its errors."""

    kind: Literal["causal", "masked"] = "causal"
    calibrated: bool = False

    def describe(self) -> Any:
        return "info"

    def score(self, texts: Sequence[str], *, stream: bool, progress: bool = False) -> Sums:
        sizes = np.array([len(text.encode()) for text in texts])
        bits = 8 + np.arange(len(texts)) % 2 * 2 - 1
        missed = sizes * np.where(np.arange(len(texts)) % 2, 0.75, 0.25)
        return Sums(
            (sizes * bits).astype(np.float64) * math.log(2), sizes, sizes, {"error_at_5": missed}, self.calibrated
        )


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path, tmp_path, ALONE, None, progress=False)


def test_bits_are_counted_over_the_split_with_an_interval(
    new_splits: Callable[..., Any], new_model: Callable[..., Any], context: Context
) -> None:
    task = lm.pydoc_text(new_splits(), "causal")
    task.prepare()
    outcome = task.score(new_model(language_model=FakeLanguageModel()), context)
    assert outcome.task == task.info
    assert outcome.scores.main == pytest.approx(8, abs=0.1)
    assert outcome.scores.all["bytes"] == sum(len(text) for text in new_splits().texts("test"))
    assert outcome.examples is not None
    assert outcome.examples.statistic() == pytest.approx(outcome.scores.main)
    assert outcome.scores.interval is not None
    assert outcome.scores.interval.low < outcome.scores.main < outcome.scores.interval.high
    assert outcome.scores.interval.unit == "window"


def test_a_masked_model_has_a_task_of_its_own(
    new_splits: Callable[..., Any], new_model: Callable[..., Any], context: Context
) -> None:
    task, causal = lm.pydoc_text(new_splits(), "masked"), lm.pydoc_text(new_splits(), "causal")
    model = new_model(language_model=FakeLanguageModel("masked"))
    with pytest.raises(NotApplicableError, match="causal language models; this one is masked"):
        causal.describe(model)
    task.prepare()
    outcome = task.score(model, context)
    assert outcome.task.metric == "pseudo_bits_per_byte"
    assert {"pseudo_bits_per_byte", "pseudo_perplexity"} < outcome.scores.all.keys()
    assert "perplexity" not in outcome.scores.all
    assert task.info.name != causal.info.name


def test_sums_are_over_the_split_not_means_of_texts() -> None:
    errors = {"error_at_1": np.array([1.0, 1.0])}
    sums = Sums(np.array([1.0, 9.0]) * math.log(2), np.array([1, 4]), np.array([15, 5]), errors)
    scores = lm.summarize(sums, "causal")
    assert scores.main == pytest.approx(0.5)
    assert scores.all["perplexity"] == pytest.approx(4)
    assert scores.all["error_at_1"] == pytest.approx(0.4)


def test_ranks_have_intervals_beside_them(
    new_splits: Callable[..., Any], new_model: Callable[..., Any], context: Context
) -> None:
    task = lm.pydoc_text(new_splits(), "causal")
    task.prepare()
    scores = task.score(new_model(language_model=FakeLanguageModel()), context).scores
    assert 0.25 < scores.all["error_at_5/low"] < scores.all["error_at_5"] < scores.all["error_at_5/high"] < 0.75
    assert scores.all["error_at_5"] == pytest.approx(0.5, abs=0.1)
    assert scores.absent == {}


def test_why_ranks_have_no_interval(
    new_splits: Callable[..., Any], new_model: Callable[..., Any], context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lm, "_sample", lambda texts: [next(iter(texts))])
    task = lm.pydoc_text(new_splits(), "causal")
    task.prepare()
    scores = task.score(new_model(language_model=FakeLanguageModel()), context).scores
    assert scores.absent["error_at_5/interval"] == scores.absent["interval"] == "one window says nothing about others"
    assert "error_at_5/low" not in scores.all


@pytest.mark.parametrize(
    ("kind", "name"), [("causal", "calibrated_perplexity"), ("masked", "pseudo_calibrated_perplexity")]
)
def test_a_fitted_perplexity_has_a_name_of_its_own(kind: lm.Kind, name: str) -> None:
    sums = Sums(np.array([2.0]) * math.log(2), np.array([1]), np.array([1]), calibrated=True)
    scores = lm.summarize(sums, kind)
    assert scores.all[name] == pytest.approx(4)
    assert len([other for other in scores.all if other.endswith("perplexity")]) == 1


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(ValueError, match="texts are empty"):
        lm.summarize(Sums(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)), "causal")


def test_an_embedding_model_is_not_applicable(new_splits: Callable[..., Any], new_model: Callable[..., Any]) -> None:
    with pytest.raises(NotApplicableError, match="needs a language model"):
        lm.pydoc_text(new_splits(), "causal").describe(new_model(encoder=object()))


def test_the_revision_is_that_of_the_texts(new_splits: Callable[..., Any]) -> None:
    first, again, other = (lm.pydoc_text(new_splits(salt=salt), "causal").info.revision for salt in ("", "", "x"))
    assert first == again
    assert lm.pydoc_text(new_splits(count=19), "causal").info.revision != first
    assert other == first  # the salt is in names, not in texts


def test_long_splits_are_sampled(monkeypatch: pytest.MonkeyPatch, new_splits: Callable[..., Any]) -> None:
    monkeypatch.setattr(lm, "PYDOC_BYTES", 500)
    chosen = lm._sample(new_splits().texts("test"))
    assert 0 < sum(map(len, chosen)) <= 500
    assert chosen == lm._sample(list(reversed(new_splits().texts("test"))))


def test_wikitext_is_pinned_to_a_revision() -> None:
    info = lm.wikitext2("causal").info
    assert info.revision == lm.WIKITEXT_REVISION
    assert not info.higher_is_better
