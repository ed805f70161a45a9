"""Suite `lm`: how well a language model predicts held-out text.

Sums run over the whole split, never over means of batches:
`perplexity = exp(nats / tokens)` and `bits per byte = nats / ln 2 / bytes`. Perplexity depends on what a token is, so
only bits per byte may be compared between tokenizers; it is the main score.

Causal and masked models have a task each (`PydocText`, `PydocTextMasked`, ...), so that they share no column.
A masked model sees both sides of the token that it guesses. Its sum over tokens, each masked in turn, is no probability
of the text, so its numbers are named `pseudo_perplexity` and `pseudo_bits_per_byte` and are never comparable with those
of a causal model (J. Salazar et al., Masked Language Model Scoring, ACL 2020, arXiv:1910.14659).

A model whose loss is no probability has a `calibrated_perplexity`: that of a softmax whose sharpness was fitted to
validation texts. Such models are trained to rank, hence, of all models, over the scored tokens of rank r:
`error_at_k = mean(r > k)` and `mean_reciprocal_rank = mean(1 / r)`. The mean of r itself is that of a few rare tokens.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from bench.examples import Examples
from bench.protocols import Context, LanguageModel, LanguageModelScore, Model, NotApplicableError, Outcome
from bench.records import DataCheck, ModelInfo, Scores, TaskInfo
from bench.suites.intervals import with_ends, with_interval

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset
    from numpy.typing import NDArray

    from bench.data.bundle import Bundle
    from zoo.data.pydoc_splits import PydocSplits

PYDOC_BYTES = 200_000
Kind = Literal["causal", "masked"]

UNCHECKED = DataCheck("unchecked", "no published statistics")
WIKITEXT_REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"


class LanguageModelTask:
    """Likelihood of a fixed set of texts.

    Args:
        info: name and data.
        kind: of language model that it scores.
        texts: gives the texts, read when the task is run.
        stream: whether they are pieces of one running text.
        datasets: of the hub that the texts come from, by the name that a bundle gives them.
    """

    def __init__(
        self,
        info: TaskInfo,
        kind: Kind,
        texts: Callable[[], Sequence[str]],
        *,
        stream: bool,
        datasets: Mapping[str, Callable[[], Dataset]] | None = None,
    ) -> None:
        self.info = info
        self._kind = kind
        self._load = texts
        self._stream = stream
        self._datasets = datasets or {}
        self._texts: Sequence[str] | None = None

    def prepare(self) -> None:
        """Read the texts and hash them."""
        if self._texts is None:
            texts = self._load()
            self.info = replace(self.info, rows=hashlib.sha256(json.dumps(texts).encode()).hexdigest(), check=UNCHECKED)
            self._texts = texts

    def release(self) -> None:
        """Drop the texts."""
        self._texts = None

    @property
    def datasets(self) -> Mapping[str, Callable[[], Dataset]]:
        """What a bundle must hold for this task."""
        return self._datasets

    def describe(self, model: Model) -> ModelInfo:
        """The language model of `model`."""
        return self._require(model).describe()

    def score(self, model: Model, context: Context) -> Outcome:
        """Score the whole split; each process scores all of it."""
        assert self._texts is not None, "prepare() comes first"
        started = time.perf_counter()
        sums = self._require(model).score(self._texts, stream=self._stream, progress=context.progress)
        seconds = time.perf_counter() - started
        examples = _by_window(self.info.metric, sums.window_nats / math.log(2), sums.window_bytes)
        scores = with_interval(summarize(sums, self._kind), examples)
        for name, values in sums.window_ranking.items():
            scores = with_ends(scores, _by_window(name, values, sums.window_tokens))
        return Outcome(self.info, scores, seconds, len(self._texts), len(self._texts), examples)

    def _require(self, model: Model) -> LanguageModel:
        found = model.language_model
        if found is None:
            raise NotApplicableError("needs a language model, which this model is not")
        if found.kind != self._kind:
            raise NotApplicableError(f"scores {self._kind} language models; this one is {found.kind}")
        return found


def _by_window(name: str, sums: NDArray[np.float64], sizes: NDArray[np.int64]) -> Examples:
    """A score that is a ratio of sums over windows; a window without anything to divide by is none."""
    scored = sizes > 0
    return Examples.of_ratio(name, sums[scored], sizes[scored], unit="window")


def summarize(sums: LanguageModelScore, kind: Kind) -> Scores:
    """All scores from sums over a split.

    Raises:
        ValueError: if nothing was scored.
    """
    if sums.tokens == 0 or sums.bytes == 0:
        raise ValueError("no token was scored: the texts are empty")
    prefix = "" if kind == "causal" else "pseudo_"
    bits_per_byte = sums.nats / math.log(2) / sums.bytes
    return Scores(
        bits_per_byte,
        {
            f"{prefix}bits_per_byte": bits_per_byte,
            f"{prefix}{'calibrated_' if sums.calibrated else ''}perplexity": math.exp(sums.nats / sums.tokens),
            **{name: math.fsum(values) / sums.tokens for name, values in sums.window_ranking.items()},
            "nats": sums.nats,
            "tokens": sums.tokens,
            "bytes": sums.bytes,
        },
    )


def pydoc_text(splits: PydocSplits, kind: Kind) -> LanguageModelTask:
    """Held-out text of the embedded corpus, at most 200 kB chosen by hash, each text on its own."""
    texts = _sample(splits.texts("test"))
    revision = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return LanguageModelTask(_info("PydocText", kind, "pydoc", revision), kind, lambda: texts, stream=False)


def wikitext2(kind: Kind, bundle: Bundle | None = None) -> LanguageModelTask:
    """Test split of WikiText-2 (word level, with its `<unk>`) as one running text."""
    from bench.data.bundle import dataset_name
    from bench.data.loading import load_dataset

    path, config, split, revision = "Salesforce/wikitext", "wikitext-2-v1", "test", WIKITEXT_REVISION

    def rows() -> Dataset:
        return load_dataset(path, config, split=split, revision=revision, bundle=bundle)

    return LanguageModelTask(
        _info("WikiText2", kind, path, revision),
        kind,
        lambda: list(rows()["text"]),
        stream=True,
        datasets={dataset_name(path, config, split, revision): rows},
    )


def _info(name: str, kind: Kind, dataset: str, revision: str) -> TaskInfo:
    return TaskInfo(
        name=name if kind == "causal" else f"{name}Masked",
        type="LanguageModeling",
        suite="lm",
        dataset=dataset,
        revision=revision,
        split="test",
        subset="default",
        metric="bits_per_byte" if kind == "causal" else "pseudo_bits_per_byte",
        higher_is_better=False,
        languages=("eng-Latn",),
        scoring="zoo lm 3",
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
