from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import records
from bench.speed import child, suite
from bench.speed.status import fake_records
from bench.speed.suite import SuiteRun, TaskRun

TASKS = ["Task0", "Task1[en]@test"]


class Machine:
    """Runs nothing; writes what each program would leave behind, and remembers what was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str], Mapping[str, str]]] = []

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> child.Child:
        options = list(arguments)
        ours = options[:2] == list(child.ZOO)
        name = "ours" if ours else "load" if "--load_only" in options else "theirs"
        name += "+autocast" if "--autocast" in options else ""
        self.calls.append((name, options, environment))
        if ours:
            for record in fake_records(2):
                records.write(record, options[options.index("--results") + 1])
            return child.Child(30.0, 1.0, "")
        lines = [{"task": f"Task{i}", "score": 0.5, "seconds": 10.0} for i in range(2)]
        Path(options[options.index("--out") + 1]).write_text("\n".join(map(json.dumps, lines)))
        return child.Child(60.0, 1.0, "")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(child, "run", machine.run)
    return machine


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "modules.json").write_text("[]")
    return str(tmp_path)


def test_contestants_run_in_turn_after_the_data_is_there(machine: Machine, folder: str) -> None:
    runs = suite.measure(folder, TASKS, rounds=2, autocast=True)
    assert [name for name, _, _ in machine.calls] == ["load", *["ours", "theirs", "theirs+autocast"] * 2]
    assert {name: len(found) for name, found in runs.items()} == {suite.OURS: 2, suite.THEIRS: 2, suite.AUTOCAST: 2}
    assert runs[suite.OURS][0].tasks["Task0"] == TaskRun(12.5, 0.0, 12.0)
    assert runs[suite.THEIRS][0].tasks["Task1"] == TaskRun(10.0, 0.5)


def test_both_sides_get_the_same_tasks_and_threads_and_ours_new_caches(machine: Machine, folder: str) -> None:
    suite.measure(folder, TASKS, "bf16-mixed", rounds=2, threads=3)
    for _, options, environment in machine.calls:
        place = options.index("--tasks")
        assert options[place + 1 : place + 3] == TASKS
        assert environment["OMP_NUM_THREADS"] == "3"
    ours = [(options, environment) for name, options, environment in machine.calls if name == "ours"]
    assert all(options[options.index("--precision") + 1] == "bf16-mixed" for options, _ in ours)
    assert len({environment["ZOO_CACHE"] for _, environment in ours}) == 2


def test_a_model_or_tasks_that_cannot_be_compared_are_refused(machine: Machine, folder: str) -> None:
    with pytest.raises(ValueError, match="--model bm25: the comparison needs"):
        suite.measure("bm25", TASKS)
    with pytest.raises(ValueError, match="each task once"):
        suite.measure(folder, ["Task0", "Task0[en]"])
    assert machine.calls == []


def test_rows_compare_task_by_task() -> None:
    ours = [SuiteRun(20.0, {"A": TaskRun(8.0, 0.51, 6.0)}), SuiteRun(30.0, {"A": TaskRun(10.0, 0.51, 9.0)})]
    theirs = [SuiteRun(40.0, {"A": TaskRun(16.0, 0.5)}), SuiteRun(60.0, {"A": TaskRun(20.0, 0.5)})]
    runs = {suite.OURS: ours, suite.THEIRS: theirs}
    task, outside, total = suite.rows(runs)
    assert task == ("A", "9.0", "18.0", "0.50", "0.51000", "0.50000", "+0.01000", "17.5%")
    assert outside == ("imports and all else", "16.0", "32.0", "0.50", "", "", "", "")
    assert total == ("total", "25.0", "50.0", "0.50", "", "", "", "")
    assert suite.total(runs, suite.OURS).seconds == (20.0, 30.0)


def test_overhead_is_unknown_where_nobody_measured() -> None:
    assert TaskRun(4.0, 0.5).overhead is None
    assert TaskRun(4.0, 0.5, 3.0).overhead == 0.25


def test_plain_mteb_scores_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mteb
    import sentence_transformers

    from bench.speed import plain_mteb

    asked: list[Any] = []

    class Result:
        task_results: Sequence[Any]

        def get_score(self) -> float:
            return 0.25

    class Model:
        device = type("Device", (), {"type": "cpu"})

    def evaluate(model: Any, task: Any, **options: Any) -> Result:
        asked.append((task, options["cache"]))
        result = Result()
        result.task_results = [result]
        return result

    monkeypatch.setattr(mteb, "evaluate", evaluate)
    monkeypatch.setattr(sentence_transformers, "SentenceTransformer", lambda name: Model())
    (line,) = plain_mteb.score("folder", ["SIB200ClusteringS2S[eng_Latn]"], autocast=False)
    (task, cache), *_ = asked
    assert (line["task"], line["score"]) == ("SIB200ClusteringS2S", 0.25)
    assert math.isfinite(line["seconds"])
    assert task.hf_subsets == ["eng_Latn"]
    assert cache is None


def test_default_tasks_exist_and_stand_once() -> None:
    from bench.suites import catalog

    names = [catalog.parse_name(task) for task in suite.TASKS]
    assert all(catalog.official("--tasks", name) for name in names)
    assert len({name.task for name in names}) == 6
    assert all(re.fullmatch(r"[\w-]+", name.task) for name in names)
