"""Suite `geometry`: how the vectors of tokens and of sentences fill their space.

The main score of each task is the mean-norm ratio, which is free of scale: the share of the vectors' length that is one
common vector. Lower is better. Tables are scored whole: nothing is sampled, so that they have no interval.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING

import numpy as np

from bench.embedding import Embedder
from bench.examples import Examples
from bench.geometry import norms, report
from bench.geometry.undefined import UndefinedError
from bench.protocols import Context, Encoder, Model, NotApplicableError, Outcome, Side, VocabularyTables
from bench.records import DataCheck, ModelInfo, TaskInfo
from bench.suites.intervals import with_interval

if TYPE_CHECKING:
    from zoo.data.pydoc_splits import PydocSplits

VERSION = "1"  # of the measures
TABLES: dict[str, Side] = {"InputTableGeometry": "input", "OutputTableGeometry": "output"}
SENTENCES = "SentenceGeometry"
NUM_SENTENCES = 1000
NUM_PAIRS = 500

_NO_ROWS = hashlib.sha256(b"").hexdigest()
_COMPLETE = "the table is scored whole: nothing was sampled that could have come out otherwise"


class TableGeometry:
    """Geometry of one table of a vocabulary.

    Its rows are those of all tokens of the vocabulary. Where the counts of the training texts are known, special tokens
    that never occur there are left out; where they are not, every special and reserved token is in.

    Args:
        name: one of `TABLES`.
    """

    def __init__(self, name: str) -> None:
        self._side = TABLES[name]
        self.info = _info(name, "no data", VERSION, self._side, _NO_ROWS)

    def prepare(self) -> None:
        """Nothing: the model is the data."""

    def release(self) -> None:
        """Nothing."""

    def describe(self, model: Model) -> ModelInfo:
        """The vocabulary of `model`."""
        return self._require(model).describe()

    def score(self, model: Model, context: Context) -> Outcome:
        """Measure the table; each process measures all of it."""
        started = time.perf_counter()
        vocabulary = self._require(model)
        rows, counts = vocabulary.table(self._side), vocabulary.token_counts
        seconds = time.perf_counter() - started
        if rows is None:
            raise NotApplicableError(f"has no {self._side} table of tokens")
        words = vocabulary.table("input") if self._side == "output" and not vocabulary.tied else None
        if counts is not None:
            special = list(vocabulary.special_ids)
            kept = counts > 0
            kept[np.setdiff1d(np.arange(len(counts)), special)] = True
            rows, counts, words = rows[kept], counts[kept], None if words is None else words[kept]
        scores = with_interval(report.of_table(rows, counts, words), _COMPLETE)
        return Outcome(self.info, scores, seconds, texts=0, texts_encoded=0)

    def _require(self, model: Model) -> VocabularyTables:
        if model.vocabulary is None:
            raise NotApplicableError("needs a model with tables of tokens, which this model is not")
        return model.vocabulary


class SentenceGeometry:
    """Geometry of the vectors of held-out sentences of the embedded corpus: what functions do, in one sentence each.

    All measures but the alignment are those of `NUM_SENTENCES` different sentences, on no side of a search. The
    alignment is that of `NUM_PAIRS` sentences as queries with their code as documents. They are chosen by the hash of
    their id, as those of the suite `pydoc` are, which has most of these vectors. The interval is that of other
    sentences of the same kind.

    Args:
        splits: of the corpus.
    """

    def __init__(self, splits: PydocSplits) -> None:
        pairs = sorted(splits.pairs("test"), key=lambda pair: hashlib.sha256(pair.id.encode()).digest())
        self._sentences = list(dict.fromkeys(pair.summary for pair in pairs))[:NUM_SENTENCES]
        self._pairs = [(pair.summary, pair.code) for pair in pairs[:NUM_PAIRS]]
        rows = hashlib.sha256(json.dumps([self._sentences, self._pairs]).encode()).hexdigest()
        self.info = _info(SENTENCES, "pydoc", rows, "default", rows)

    def prepare(self) -> None:
        """Make sure that there are sentences."""
        if len(self._sentences) < 2:
            raise NotApplicableError("the corpus is too small: fewer than two held-out sentences; name more --packages")

    def release(self) -> None:
        """Nothing: `info` needs the hash of the sentences."""

    def describe(self, model: Model) -> ModelInfo:
        """The encoder of `model`."""
        return self._require(model).describe()

    def score(self, model: Model, context: Context) -> Outcome:
        """Encode the sentences and measure their vectors."""
        self._require(model)
        embedder = context.embedder
        assert embedder is not None, "an encoder has an embedder"
        meter = embedder.meter
        seconds, texts, encoded = meter.seconds, meter.texts, meter.texts_encoded
        vectors = embedder.encode(self._sentences, progress=context.progress).astype(np.float64)
        left, right = self._encode_pairs(embedder, progress=context.progress)
        scores = report.of_sentences(vectors, left, right)
        examples = self._examples(vectors)
        return Outcome(
            self.info,
            with_interval(scores, examples),
            encode_seconds=meter.seconds - seconds,
            texts=meter.texts - texts,
            texts_encoded=meter.texts_encoded - encoded,
            examples=examples if isinstance(examples, Examples) else None,
        )

    def _encode_pairs(self, embedder: Embedder, *, progress: bool) -> tuple[norms.Rows, norms.Rows]:
        summaries = embedder.encode([summary for summary, _ in self._pairs], role="query", progress=progress)
        codes = embedder.encode([code for _, code in self._pairs], role="document", progress=progress)
        return summaries.astype(np.float64), codes.astype(np.float64)

    def _examples(self, vectors: norms.Rows) -> Examples | str:
        """The values of single sentences, or why there are none."""
        try:
            values = norms.ratio_of_single_vectors(vectors)
        except UndefinedError as reason:
            return str(reason)
        ids = [hashlib.sha256(sentence.encode()).hexdigest()[:16] for sentence in self._sentences]
        return Examples.of_values(report.MAIN, values, unit="sentence", ids=ids)

    def _require(self, model: Model) -> Encoder:
        if model.encoder is None:
            raise NotApplicableError("needs an encoder of texts, which this model is not")
        return model.encoder


def _info(name: str, dataset: str, revision: str, subset: str, rows: str) -> TaskInfo:
    return TaskInfo(
        name=name,
        type="Geometry",
        suite="geometry",
        dataset=dataset,
        revision=revision,
        split="test",
        subset=subset,
        metric=report.MAIN,
        higher_is_better=False,
        languages=("eng-Latn",),
        scoring=f"zoo geometry {VERSION}",
        rows=rows,
        check=DataCheck("unchecked", "data of our own, which has no published statistics"),
    )
