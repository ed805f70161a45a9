"""Suite `words`: whether the rows of similar words are similar.

Only pairs of which both words are single tokens can be scored, so the number of pairs that were kept belongs to every
score, and models with other tokenizers are scored on other pairs. A byte-level tokenizer has two tokens for many words,
with a space in front and without. The main score takes the first, which is the word as it stands within a text; that
without is beside it.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar, get_args

from datasets import Dataset

from bench.data.rows import hash_dataset
from bench.examples import Examples
from bench.protocols import Context, Model, NotApplicableError, Outcome, Side, VocabularyTables
from bench.records import ModelInfo, Scores, TaskInfo
from bench.suites.intervals import with_interval
from bench.words import sets
from bench.words.sets import SETS, WordSet
from bench.words.similarity import SCORES, Pairs, Rows, correlations

if TYPE_CHECKING:
    from bench.suites.catalog import Name, Sources

VERSION = "1"
PREFIX = "Words/"
SIDES: tuple[Side, ...] = get_args(Side)
MAIN = "cosine_pearson"
MIN_PAIRS = 20

_WITHOUT_SPACE = "_no_leading_space"

Value = TypeVar("Value", float, str)


def tasks(name: Name, sources: Sources) -> list[WordSimilarity]:
    """The tasks called `name`.

    Args:
        name: `Words/MEN` for both tables; `Words/MEN-input` or `Words/MEN[input]` for one.
        sources: where the pairs come from.

    Raises:
        ValueError: for a set, a table or a split that does not exist.
    """
    found = [
        (words, side)
        for words in SETS.values()
        for side in SIDES
        if name.task in (PREFIX + words.name, _name(words, side)) and side in (name.subsets or SIDES)
    ]
    if not found or not {*name.subsets} <= {*SIDES} or not {*name.splits} <= {sets.SPLIT}:
        known = ", ".join(PREFIX + words for words in SETS)
        raise ValueError(f"{name.task}: no such pairs of words; there are {known}, each with [input] and [output]")
    load = functools.cache(lambda words: sets.load(words, sources.bundle, sources.word_sets))
    return [WordSimilarity(words, side, partial(load, words)) for words, side in found]


class WordSimilarity:
    """Correlation of the similarity of rows with human scores, on one set of pairs and one table.

    Args:
        words: the set.
        side: the table.
        load: gives its pairs.
    """

    def __init__(self, words: WordSet, side: Side, load: Callable[[], Dataset]) -> None:
        self._words, self._side, self._load = words, side, load
        self._table: Dataset | None = None
        self.info = _info(words, side)

    def prepare(self) -> None:
        """Load the pairs, hash them, and compare them with the original ones."""
        if self._table is None:
            table = self._load()
            self.info = replace(self.info, rows=hash_dataset(table), check=sets.check(self._words, table))
            self._table = table

    def release(self) -> None:
        """Drop the pairs."""
        self._table = None

    @property
    def datasets(self) -> Mapping[str, Callable[[], Dataset]]:
        """What a bundle must hold for this task."""
        return {self._words.table: self._load}

    def describe(self, model: Model) -> ModelInfo:
        """The vocabulary of `model`."""
        return self._require(model).describe()

    def score(self, model: Model, context: Context) -> Outcome:
        """Score the table; each process scores all of it."""
        started = time.perf_counter()
        vocabulary = self._require(model)
        rows = vocabulary.table(self._side)
        seconds = time.perf_counter() - started
        if rows is None:
            raise NotApplicableError(f"has no {self._side} table of tokens")
        pairs = self._pairs(vocabulary, leading_space=True)
        if len(pairs) < MIN_PAIRS:
            raise NotApplicableError(self._too_few(pairs))
        found = correlations(rows, pairs)
        values, undefined = _evaluate(found)
        if undefined:
            raise ValueError(f"{len(pairs)} pairs: {next(iter(undefined.values()))}")
        without, absent = self._without_space(vocabulary, rows)
        scores = Scores(values[MAIN], {**values, "pairs": len(pairs), **without}, absent=absent)
        return Outcome(self.info, with_interval(scores, found[MAIN]), seconds, 0, 0, found[MAIN])

    def _pairs(self, vocabulary: VocabularyTables, *, leading_space: bool) -> Pairs:
        assert self._table is not None, "prepare() comes first"
        rows = list(zip(*(self._table[name] for name in sets.COLUMNS), strict=True))
        return Pairs.of(rows, partial(vocabulary.token_id, leading_space=leading_space))

    def _without_space(self, vocabulary: VocabularyTables, rows: Rows) -> tuple[dict[str, float], dict[str, str]]:
        """Scores of the words as a text begins with them, and why some are absent."""
        pairs = self._pairs(vocabulary, leading_space=False)
        values: dict[str, float] = {}
        absent = dict.fromkeys(SCORES, self._too_few(pairs))
        if len(pairs) >= MIN_PAIRS:
            values, absent = _evaluate(correlations(rows, pairs))
        values["pairs"] = len(pairs)
        return _suffixed(values), _suffixed(absent)

    def _too_few(self, pairs: Pairs) -> str:
        assert self._table is not None, "prepare() comes first"
        return f"{len(pairs)} of {len(self._table)} pairs have two words that are single tokens; {MIN_PAIRS} are needed"

    def _require(self, model: Model) -> VocabularyTables:
        if model.vocabulary is None:
            raise NotApplicableError("needs a model with tables of tokens, which this model is not")
        return model.vocabulary


def _evaluate(found: Mapping[str, Examples]) -> tuple[dict[str, float], dict[str, str]]:
    """Scores by name, and the reasons of those that have no value."""
    values = {name: examples.statistic() for name, examples in found.items()}
    absent = {name: "all similarities are equal" for name, value in values.items() if not math.isfinite(value)}
    return {name: value for name, value in values.items() if name not in absent}, absent


def _suffixed(scores: Mapping[str, Value]) -> dict[str, Value]:
    return {f"{name}{_WITHOUT_SPACE}": value for name, value in scores.items()}


def _name(words: WordSet, side: Side) -> str:
    return f"{PREFIX}{words.name}-{side}"


def _info(words: WordSet, side: Side) -> TaskInfo:
    return TaskInfo(
        name=_name(words, side),
        type="WordSimilarity",
        suite="words",
        dataset=f"{sets.PATH} {words.config}",
        revision=sets.REVISION,
        split=sets.SPLIT,
        subset=side,
        metric=MAIN,
        higher_is_better=True,
        languages=("eng-Latn",),
        scoring=f"zoo words {VERSION}",
    )
