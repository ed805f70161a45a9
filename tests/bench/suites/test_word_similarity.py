from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from numpy.typing import NDArray

from bench.data import packing
from bench.data.bundle import Bundle
from bench.parallel import ALONE
from bench.protocols import Context, NotApplicableError
from bench.statistics.paired import paired
from bench.suites import catalog, word_similarity
from bench.suites.catalog import Sources
from bench.suites.word_similarity import WordSimilarity
from bench.words import sets

WORDS = [f"w{i}" for i in range(12)]
FILE = sets.SETS["RG-65"].file


@dataclass
class Vocabulary:
    """Words on a circle; those that stand behind a space have rows of their own, turned by chance."""

    noise: float = 0.1
    sides: tuple[str, ...] = ("input", "output")
    bare: int = 12
    tied: bool = False
    special_ids: tuple[int, ...] = ()
    token_counts: None = None
    asked: list[str] = field(default_factory=list)

    def describe(self) -> Any:
        return "info"

    def table(self, side: str) -> NDArray[np.float64] | None:
        self.asked.append(side)
        angles = np.arange(12) / 4
        angles = np.concatenate([angles + self.noise * np.random.default_rng(0).normal(size=12), -7 * angles**2])
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return circle * (1 if side == "input" else 3) if side in self.sides else None

    def token_id(self, word: str, *, leading_space: bool) -> int | None:
        number = WORDS.index(word) if word in WORDS else None
        if leading_space or number is None:
            return number
        return 12 + number if number < self.bare else None


def rows() -> list[tuple[str, str, float]]:
    return [(WORDS[i], WORDS[j], float(12 - abs(i - j))) for i in range(12) for j in range(i)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of 66 pairs of known words and four of others."""
    lines = [*rows(), *((WORDS[0], f"unheard{i}", 5.0) for i in range(4))]
    (tmp_path / FILE).write_text("".join(f"{a}\t{b}\t{score}\n" for a, b, score in lines))
    return tmp_path


@pytest.fixture
def tasks(folder: Path) -> Mapping[str, WordSimilarity]:
    found = catalog.build([], ["Words/RG-65"], Sources(word_sets=str(folder)))
    for task in found:
        task.prepare()
    return {task.info.subset: task for task in found if isinstance(task, WordSimilarity)}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(None, tmp_path, ALONE, None, progress=False)


def test_scores_are_those_of_the_examples_with_an_interval(
    tasks: Mapping[str, WordSimilarity], new_model: Callable[..., Any], context: Context
) -> None:
    outcome = tasks["input"].score(new_model(vocabulary=Vocabulary()), context)
    scores, examples = outcome.scores, outcome.examples
    assert examples is not None
    assert examples.statistic() == scores.main == scores.all["cosine_pearson"] > 0.9
    assert (examples.count, scores.all["pairs"], scores.all["pairs_no_leading_space"]) == (66, 66, 66)
    assert scores.all["cosine_pearson_no_leading_space"] < 0.5
    assert scores.interval is not None
    assert scores.interval.low < scores.main < scores.interval.high
    assert scores.interval.unit == "pair"
    assert {f"{kind}_{of}" for kind in ("cosine", "inner_product") for of in ("pearson", "spearman")} < {*scores.all}
    assert outcome.task.check is not None
    assert outcome.task.check.status == "deviates"


def test_each_table_is_a_task(
    tasks: Mapping[str, WordSimilarity], new_model: Callable[..., Any], context: Context
) -> None:
    vocabulary = Vocabulary()
    model = new_model(vocabulary=vocabulary)
    one, other = (tasks[side].score(model, context) for side in ("input", "output"))
    assert vocabulary.asked == ["input", "output"]
    assert one.task.name == "Words/RG-65-input"
    assert other.task.name == "Words/RG-65-output"
    assert one.task.key != other.task.key
    assert one.task.rows == other.task.rows


def test_models_are_compared_pair_by_pair(
    tasks: Mapping[str, WordSimilarity], new_model: Callable[..., Any], context: Context
) -> None:
    good, bad = (
        tasks["input"].score(new_model(vocabulary=Vocabulary(noise=noise)), context).examples for noise in (0.01, 1.0)
    )
    assert good is not None
    assert bad is not None
    assert paired(good, bad).difference > 0.1
    assert paired(good, bad).p < 0.05


def test_what_has_no_tables_or_too_few_words_is_not_scored(
    tasks: Mapping[str, WordSimilarity],
    new_model: Callable[..., Any],
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(NotApplicableError, match="needs a model with tables of tokens"):
        tasks["input"].describe(new_model(encoder=object()))
    with pytest.raises(NotApplicableError, match="has no output table"):
        tasks["output"].score(new_model(vocabulary=Vocabulary(sides=("input",))), context)
    monkeypatch.setattr(word_similarity, "MIN_PAIRS", 67)
    with pytest.raises(NotApplicableError, match="66 of 70 pairs have two words that are single tokens; 67 are needed"):
        tasks["input"].score(new_model(vocabulary=Vocabulary()), context)


@pytest.mark.parametrize("bare", [0, 5])
def test_too_few_words_without_a_space_are_absent_with_their_number(
    bare: int, tasks: Mapping[str, WordSimilarity], new_model: Callable[..., Any], context: Context
) -> None:
    scores = tasks["input"].score(new_model(vocabulary=Vocabulary(bare=bare)), context).scores
    kept = bare * (bare - 1) // 2
    assert scores.all["pairs_no_leading_space"] == kept
    assert "cosine_pearson_no_leading_space" not in scores.all
    assert scores.absent["cosine_pearson_no_leading_space"].startswith(f"{kept} of 70 pairs")
    assert len(scores.absent) == 4


def test_equal_rows_are_an_error_and_no_score(
    tasks: Mapping[str, WordSimilarity],
    new_model: Callable[..., Any],
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Vocabulary, "table", lambda self, side: np.ones((24, 3)))
    with pytest.raises(ValueError, match="66 pairs: all similarities are equal"):
        tasks["input"].score(new_model(vocabulary=Vocabulary()), context)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Words/MEN", ["Words/MEN-input", "Words/MEN-output"]),
        ("Words/MEN[output]", ["Words/MEN-output"]),
        ("Words/MEN-output", ["Words/MEN-output"]),
        ("Words/WordSim-353-rel[input]@test", ["Words/WordSim-353-rel-input"]),
    ],
)
def test_names_choose_the_table(name: str, expected: list[str]) -> None:
    found = catalog.build([], [name])
    assert [task.info.name for task in found] == expected
    assert [catalog.again(task.info).info for task in found] == [task.info for task in found]


@pytest.mark.parametrize("name", ["Words/MAN", "Words/MEN[inputs]", "Words/MEN@train", "Words/MEN-input[output]"])
def test_wrong_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"no such pairs of words; there are Words/MEN, .*\[input\]"):
        catalog.build([], [name])


def test_a_bundle_gives_the_same_rows(folder: Path, tmp_path: Path) -> None:
    packed = packing.pack(catalog.build([], ["Words/RG-65"], Sources(word_sets=str(folder))), tmp_path / "words.zip")
    assert packed.datasets == (sets.SETS["RG-65"].table,)
    bundle = Bundle.open(tmp_path / "words.zip", tmp_path / "cache")
    here, there = (
        catalog.build([], ["Words/RG-65[input]"], sources)[0]
        for sources in (Sources(word_sets=str(folder)), Sources(bundle=bundle))
    )
    for task in (here, there):
        task.prepare()
    assert here.info == there.info
    assert here.info.rows is not None


def test_a_released_task_is_loaded_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = sets.load

    def spy(words: sets.WordSet, *sources: Any) -> Dataset:
        loads.append(words.name)
        return load(words, *sources)

    monkeypatch.setattr(sets, "load", spy)
    found = catalog.build([], ["Words/RG-65"], Sources(word_sets=str(folder)))
    for task in found:
        task.prepare()
        task.release()
        task.prepare()
    assert loads == ["RG-65"], "both tables have the same pairs"
