"""Suite `lm`: how well a language model predicts held-out text.

Sums run over the whole split, never over means of batches:
`perplexity = exp(nats / tokens)` and `bits per byte = nats / ln 2 / bytes`. Perplexity depends on what a token is, so
only bits per byte may be compared between tokenizers; it is the main score.

A masked model sees both sides of the token that it guesses. Its sum over tokens, each masked in turn, is no probability
of the text, so its numbers are named `pseudo_perplexity` and `pseudo_bits_per_byte` and are never comparable with those
of a causal model (J. Salazar et al., Masked Language Model Scoring, ACL 2020, arXiv:1910.14659).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.adapters import Meter
from bench.protocols import LanguageModel, LanguageModelScore, Model, NotApplicableError, Outcome
from bench.records import ModelInfo, Scores, TaskInfo

if TYPE_CHECKING:
    from zoo.data.pydoc_splits import PydocSplits

PYDOC_BYTES = 200_000
WIKITEXT_REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"


class LanguageModelTask:
    """Likelihood of a fixed set of texts.

    Args:
        info: name and data; the metric is that of a causal model.
        texts: gives the texts, read when the task is run.
        stream: whether they are pieces of one running text.
    """

    def __init__(self, info: TaskInfo, texts: Callable[[], Sequence[str]], *, stream: bool) -> None:
        self.info = info
        self._texts = texts
        self._stream = stream

    def describe(self, model: Model) -> ModelInfo:
        """The language model of `model`."""
        return self._require(model).describe()

    def score(self, model: Model, *, progress: bool) -> Outcome:
        """Score the whole split."""
        language_model, texts, meter = self._require(model), self._texts(), Meter()
        with meter:
            sums = language_model.score(texts, stream=self._stream, progress=progress)
        metric, scores = summarize(sums)
        return Outcome(replace(self.info, metric=metric), scores, meter.seconds, len(texts))

    def _require(self, model: Model) -> LanguageModel:
        if model.language_model is None:
            raise NotApplicableError("needs a language model, which this model is not")
        return model.language_model


def summarize(sums: LanguageModelScore) -> tuple[str, Scores]:
    """Name of the main score, and all scores, from sums over a split.

    Raises:
        ValueError: if nothing was scored.
    """
    if sums.tokens == 0 or sums.bytes == 0:
        raise ValueError("no token was scored: the texts are empty")
    prefix = "" if sums.kind == "causal" else "pseudo_"
    bits_per_byte = sums.nats / math.log(2) / sums.bytes
    return f"{prefix}bits_per_byte", Scores(
        bits_per_byte,
        {
            f"{prefix}bits_per_byte": bits_per_byte,
            f"{prefix}perplexity": math.exp(sums.nats / sums.tokens),
            "nats": sums.nats,
            "tokens": sums.tokens,
            "bytes": sums.bytes,
        },
    )


def pydoc_text(splits: PydocSplits) -> LanguageModelTask:
    """Held-out text of the embedded corpus, at most 200 kB chosen by hash, each text on its own."""
    texts = _sample(splits.texts("test"))
    revision = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return LanguageModelTask(_info("PydocText", "pydoc", revision), lambda: texts, stream=False)


def wikitext2() -> LanguageModelTask:
    """Test split of WikiText-2 (word level, with its `<unk>`) as one running text."""

    def texts() -> list[str]:
        from datasets import load_dataset

        split = load_dataset("Salesforce/wikitext", "wikitext-2-v1", split="test", revision=WIKITEXT_REVISION)
        return list(split["text"])

    return LanguageModelTask(_info("WikiText2", "Salesforce/wikitext", WIKITEXT_REVISION), texts, stream=True)


def _info(name: str, dataset: str, revision: str) -> TaskInfo:
    return TaskInfo(
        name=name,
        type="LanguageModeling",
        suite="lm",
        dataset=dataset,
        revision=revision,
        split="test",
        subset="default",
        metric="bits_per_byte",
        higher_is_better=False,
        languages=("eng-Latn",),
    )


def _sample(texts: Iterable[str]) -> list[str]:
    chosen: list[str] = []
    room = PYDOC_BYTES
    for text in sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest()):
        room -= len(text.encode())
        if room < 0:
            break
        chosen.append(text)
    return chosen
