from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from bench.protocols import NotApplicableError
from bench.suites import lm


@dataclass(frozen=True)
class Sums:
    nats: float
    tokens: int
    bytes: int
    kind: Literal["causal", "masked"] = "causal"


@dataclass
class FakeLanguageModel:
    """Every byte is one token of one of 256 kinds, all equally likely."""

    kind: Literal["causal", "masked"] = "causal"

    def describe(self) -> Any:
        return "info"

    def score(self, texts: Sequence[str], *, stream: bool, progress: bool = False) -> Sums:
        size = sum(len(text.encode()) for text in texts)
        return Sums(size * math.log(256), size, size, self.kind)


def test_a_uniform_model_over_bytes_needs_eight_bits(
    new_splits: Callable[..., Any], new_model: Callable[..., Any]
) -> None:
    task = lm.pydoc_text(new_splits())
    outcome = task.score(new_model(language_model=FakeLanguageModel()), progress=False)
    assert outcome.task == task.info
    assert outcome.scores.main == pytest.approx(8)
    assert outcome.scores.all["perplexity"] == pytest.approx(256)
    assert outcome.scores.all["bytes"] == sum(len(text) for text in new_splits().texts("test"))


def test_numbers_of_a_masked_model_have_names_of_their_own(
    new_splits: Callable[..., Any], new_model: Callable[..., Any]
) -> None:
    task = lm.pydoc_text(new_splits())
    outcome = task.score(new_model(language_model=FakeLanguageModel("masked")), progress=False)
    assert outcome.task.metric == "pseudo_bits_per_byte"
    assert {"pseudo_bits_per_byte", "pseudo_perplexity"} < outcome.scores.all.keys()
    assert "perplexity" not in outcome.scores.all


def test_sums_are_over_the_split_not_means_of_texts() -> None:
    _, scores = lm.summarize(Sums(nats=10 * math.log(2), tokens=5, bytes=20))
    assert scores.main == pytest.approx(0.5)
    assert scores.all["perplexity"] == pytest.approx(4)


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(ValueError, match="texts are empty"):
        lm.summarize(Sums(0.0, 0, 0))


def test_an_embedding_model_is_not_applicable(new_splits: Callable[..., Any], new_model: Callable[..., Any]) -> None:
    with pytest.raises(NotApplicableError, match="needs a language model"):
        lm.pydoc_text(new_splits()).describe(new_model(encoder=object()))


def test_the_revision_is_that_of_the_texts(new_splits: Callable[..., Any]) -> None:
    first, again, other = (lm.pydoc_text(new_splits(salt=salt)).info.revision for salt in ("", "", "x"))
    assert first == again
    assert lm.pydoc_text(new_splits(count=19)).info.revision != first
    assert other == first  # the salt is in names, not in texts


def test_long_splits_are_sampled(monkeypatch: pytest.MonkeyPatch, new_splits: Callable[..., Any]) -> None:
    monkeypatch.setattr(lm, "PYDOC_BYTES", 500)
    chosen = lm._sample(new_splits().texts("test"))
    assert 0 < sum(map(len, chosen)) <= 500
    assert chosen == lm._sample(list(reversed(new_splits().texts("test"))))


def test_wikitext_is_pinned_to_a_revision() -> None:
    info = lm.wikitext2().info
    assert info.revision == lm.WIKITEXT_REVISION
    assert not info.higher_is_better
