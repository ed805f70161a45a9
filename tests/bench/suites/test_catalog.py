from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bench.suites import catalog, pydoc
from bench.suites.catalog import Sources


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, new_splits: Callable[..., Any]) -> list[tuple[object, object]]:
    seen: list[tuple[object, object]] = []

    def load_pydoc(packages: Sequence[str] | None = None, cache_dir: str | None = None) -> Any:
        seen.append((packages, cache_dir))
        return new_splits()

    monkeypatch.setattr("zoo.data.pydoc_splits.load_pydoc", load_pydoc)
    return seen


def test_a_suite_gives_its_tasks_and_loads_the_corpus_once(loads: list[tuple[object, object]]) -> None:
    tasks = catalog.build(["pydoc", "lm"], ["PydocText"], Sources(packages=["numpy"], cache_dir="c"))
    assert [task.info.name for task in tasks] == [*catalog.SUITES["pydoc"], "PydocText", "PydocTextMasked"]
    assert loads == [(["numpy"], "c")]


def test_the_names_are_those_of_the_tasks() -> None:
    assert tuple(task.metadata.name for task in pydoc.TASKS) == catalog.SUITES["pydoc"]


def test_tasks_and_suites_carry_their_suite(loads: list[tuple[object, object]]) -> None:
    tasks = catalog.build([], ["PydocRetrieval", "PydocText", "WikiText2"])
    assert [task.info.suite for task in tasks] == ["pydoc", "lm", "lm"]


def test_official_tasks_keep_their_revision() -> None:
    (task,) = catalog.build([], ["STSBenchmark"])
    info = task.info
    assert (info.suite, info.dataset, info.split) == ("mteb", "mteb/stsbenchmark-sts", "test")
    assert info.revision == "b0fddb56ed78048fa8b90373c8a3cfc37b684831"


@pytest.mark.filterwarnings("ignore::UserWarning")  # some of its tasks are called superseded
def test_a_benchmark_gives_its_tasks() -> None:
    tasks = catalog.build([], ["NanoBEIR"])
    assert len(tasks) == 13
    assert all(task.info.name.startswith("Nano") for task in tasks)


def test_unknown_names_are_refused_with_advice() -> None:
    with pytest.raises(ValueError, match="--suite pydocs: no such task or suite; did you mean pydoc"):
        catalog.build(["pydocs"], [])
    with pytest.raises(ValueError, match="no such suite; there are pydoc, lm, mini"):
        catalog.build(["xyz"], [])
    with pytest.raises(ValueError, match="did you mean PydocRetrieval"):
        catalog.build([], ["PydocRetrival"])
    with pytest.raises(ValueError, match=r"--tasks SciFactt: .*SciFact"):
        catalog.build([], ["SciFactt"])


def test_subsets_and_splits_are_chosen_in_the_name() -> None:
    (task,) = catalog.build([], ["SIB200ClusteringS2S[eng_Latn,deu_Latn]@test"])
    assert (task.info.subset, task.info.split) == ("deu_Latn+eng_Latn", "test")
    assert catalog.again(task.info).info == task.info


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SIB200ClusteringS2S[eng]", r"no subset 'eng'; there is .*eng_Latn"),
        ("SciFact@tset", "no split 'tset'; there is .*test"),
        ("NanoBEIR[en]", "a benchmark; name its tasks"),
        ("SciFact[", r"write TASK, TASK\[subset"),
    ],
)
def test_wrong_parts_of_a_name_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        catalog.build([], [name])


def test_small_suite_is_made_of_tasks_that_exist() -> None:
    tasks = catalog.build(["mini"], [])
    assert len(tasks) == len(catalog.SUITES["mini"])
    assert len({task.info.type for task in tasks}) >= 5


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_mean_of_tasks_becomes_its_tasks() -> None:
    names = [task.info.name for task in catalog.build(["BEIR"], [])]
    assert len(names) == 26
    assert "CQADupstackRetrieval" not in names
    assert "CQADupstackUnixRetrieval" in names
