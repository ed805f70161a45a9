from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.embedding import Embedder
from bench.models.bm25 import BM25Model
from bench.parallel import ALONE
from bench.protocols import Context, NotApplicableError, Outcome
from bench.suites import pydoc
from bench.suites.mteb_task import MtebTask

NewSplits = Callable[..., Any]
NewEncoder = Callable[..., Any]
NewModel = Callable[..., Any]


def make(cls: Any, splits: Any) -> MtebTask:
    return MtebTask(functools.partial(cls, cls.select(splits)), "pydoc")


def score(task: MtebTask, model: Any) -> Outcome:
    """Score `model` with nothing known from before."""
    task.prepare()
    embedder = None if model.encoder is None else Embedder(model.encoder)
    return task.score(model, Context(None, Path("unused"), ALONE, embedder, progress=False))


@pytest.mark.parametrize("cls", pydoc.TASKS)
def test_a_sensible_model_beats_chance_and_twice_the_same(
    cls: Any, new_splits: NewSplits, new_encoder: NewEncoder, new_model: NewModel
) -> None:
    task = make(cls, new_splits())
    model = new_model(encoder=new_encoder())
    outcome, again = (score(task, model) for _ in range(2))
    chance = {"PydocRetrieval": 0.1, "PydocClassification": 0.4, "PydocClustering": 0.1}
    assert outcome.scores.main > chance.get(task.info.name, 0.55)
    assert outcome.scores.main <= 1
    assert again.scores == outcome.scores
    assert outcome.scores.all[task.info.metric] == outcome.scores.main
    assert outcome.texts_encoded == sum(len(texts) for texts, _, _ in model.encoder.calls) / 2
    assert outcome.texts_encoded <= outcome.texts
    assert outcome.examples is not None
    assert outcome.scores.interval is not None
    assert outcome.scores.interval.low <= outcome.scores.main <= outcome.scores.interval.high


@pytest.mark.parametrize("cls", pydoc.TASKS)
def test_the_revision_is_that_of_the_rows(cls: Any, new_splits: NewSplits) -> None:
    first, again = (make(cls, new_splits()).info for _ in range(2))
    other = make(cls, new_splits(count=19)).info
    assert first == again
    assert first.revision != other.revision


@pytest.mark.parametrize("cls", pydoc.TASKS[1:])
def test_the_lexical_baseline_has_no_vectors(cls: Any, new_splits: NewSplits, new_model: NewModel) -> None:
    with pytest.raises(NotApplicableError, match="needs an encoder"):
        make(cls, new_splits()).describe(new_model(searcher=BM25Model()))


def test_the_lexical_baseline_retrieves(new_splits: NewSplits, new_model: NewModel) -> None:
    outcome = score(make(pydoc.PydocRetrieval, new_splits()), new_model(searcher=BM25Model()))
    assert outcome.scores.main > 0.3


def test_functions_that_share_a_summary_answer_the_same_query(new_splits: NewSplits) -> None:
    class Doubled:
        def pairs(self, split: str) -> Any:
            from dataclasses import replace

            pairs = new_splits(count=2).pairs(split)
            return pairs + [replace(pair, id=f"{pair.id}#2", code=f"{pair.code} # 2") for pair in pairs]

    rows = pydoc.PydocRetrieval.select(Doubled())  # type: ignore[arg-type]
    assert len(rows["corpus"]) == 12
    assert len(rows["queries"]) == 6
    assert all(len(ids) == 2 for ids in rows["relevant"].values())


def test_training_rows_come_from_training_modules(new_splits: NewSplits) -> None:
    class Marked:
        def pairs(self, split: str) -> Any:
            from dataclasses import replace

            return [replace(pair, docstring=f"{split} {pair.docstring}") for pair in new_splits().pairs(split)]

    rows = pydoc.PydocClassification.select(Marked())  # type: ignore[arg-type]
    for split in ("train", "test"):
        assert all(text.startswith(split) for text in rows[split]["texts"])
        assert len(set(Counter(rows[split]["labels"]).values())) == 1


def test_pairs_are_balanced_and_the_wrong_code_is_of_the_same_package(new_splits: NewSplits) -> None:
    rows = pydoc.PydocPairClassification.select(new_splits())
    packages = {pair.code: pair.package for pair in new_splits().pairs("test")}
    by_summary = {pair.summary: pair for pair in new_splits().pairs("test")}
    assert Counter(rows["labels"]) == {0: 60, 1: 60}
    for summary, code, label in zip(rows["sentence1"], rows["sentence2"], rows["labels"], strict=True):
        assert (by_summary[summary].code == code) == bool(label)
        assert packages[code] == by_summary[summary].package


def test_sizes_are_capped(new_splits: NewSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCUMENTS", "QUERIES", "LABELLED", "PAIRS"):
        monkeypatch.setattr(pydoc, name, 30)
    splits = new_splits()
    assert len(pydoc.PydocRetrieval.select(splits)["corpus"]) == 30
    assert len(pydoc.PydocClassification.select(splits)["test"]["texts"]) == 30
    assert len(pydoc.PydocClustering.select(splits)["texts"]) == 30
    assert len(pydoc.PydocPairClassification.select(splits)["labels"]) == 30


def test_a_row_stays_in_the_sample_when_the_corpus_grows(
    new_splits: NewSplits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pydoc, "DOCUMENTS", 10)
    small = set(pydoc.PydocRetrieval.select(new_splits(topics=("metal",)))["corpus"])
    large = {id_ for id_ in pydoc.PydocRetrieval.select(new_splits())["corpus"] if id_.startswith("metal")}
    assert large <= small
    assert large


@pytest.mark.parametrize("cls", pydoc.TASKS)
def test_a_corpus_that_is_too_small_is_not_applicable(
    cls: Any, new_splits: NewSplits, new_encoder: NewEncoder, new_model: NewModel
) -> None:
    task = make(cls, new_splits(topics=("metal",), count=1))
    with pytest.raises(NotApplicableError, match="too small"):
        score(task, new_model(encoder=new_encoder()))


def test_sides_of_asymmetric_tasks_get_their_prompts(
    new_splits: NewSplits, new_encoder: NewEncoder, new_model: NewModel
) -> None:
    encoder = new_encoder(prompts={"query": "q: ", "document": "d: "})
    for cls in (pydoc.PydocRetrieval, pydoc.PydocPairClassification):
        score(make(cls, new_splits()), new_model(encoder=encoder))
    for texts, prompt, role in encoder.calls:
        is_code = texts[0].startswith("def")
        assert (prompt, role) == (("d: ", "document") if is_code else ("q: ", "query"))
    assert {role for _, _, role in encoder.calls} == {"query", "document"}
