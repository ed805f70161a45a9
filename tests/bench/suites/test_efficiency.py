from __future__ import annotations

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.efficiency import measured
from bench.protocols import Context, NotApplicableError
from bench.records import Scores
from bench.suites import efficiency
from bench.suites.efficiency import EfficiencyTask, Measurement


def context(world_size: int = 1) -> Context:
    workers: Any = SimpleNamespace(rank=0, world_size=world_size, device=None)
    return Context(cache=None, results=Path(), workers=workers, embedder=None, progress=False)


def new_task(words: tuple[int, ...] = (2, 3), documents: tuple[str, ...] = ("a b c d e f",)) -> EfficiencyTask:
    def run(encoder: Any, texts: Any, device: str) -> measured.Measured:
        assert (encoder, device) == ("encoder", "cpu")
        return measured.Measured(Scores(3.0, {"ms": 3.0}), 0.5, len(texts))

    return EfficiencyTask(Measurement("Speed", "ms", False, words, run), "cpu", lambda: documents)


def test_what_was_measured_is_handed_on() -> None:
    task = new_task()
    assert task.info.rows is None
    task.prepare()
    outcome = task.score(SimpleNamespace(encoder="encoder"), context())
    assert (outcome.scores.main, outcome.encode_seconds, outcome.texts) == (3.0, 0.5, 2)
    assert outcome.task == task.info
    assert outcome.task.rows is not None


def test_another_machine_another_torch_or_other_texts_are_another_column(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [key_of(new_task()), key_of(new_task(documents=("g h i j k",))), key_of(new_task(words=(3, 2)))]
    with monkeypatch.context() as patch:
        patch.setattr(efficiency, "hardware_of", lambda device: "another")
        keys.append(key_of(new_task()))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "9.9")
        keys.append(key_of(new_task()))
    assert len(set(keys)) == len(keys)
    assert keys[0] == key_of(new_task())


def key_of(task: EfficiencyTask) -> str:
    task.prepare()
    return task.info.key


def test_the_size_of_a_model_is_one_column_on_all_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    here = efficiency.tasks("cpu")[-1].info
    monkeypatch.setattr(efficiency, "hardware_of", lambda device: "another")
    assert efficiency.tasks("cpu")[-1].info == here
    assert here.name == "ModelSize"


def test_every_task_states_its_unit_and_which_way_is_better() -> None:
    found = {task.info.name: (task.info.metric, task.info.higher_is_better) for task in efficiency.tasks("cpu")}
    assert found == {
        "EncodingLatency": ("latency_p50_ms", False),
        "EncodingThroughput": ("texts_per_second", True),
        "PeakMemory": ("peak_memory_mb", False),
        "ModelSize": ("model_mb", False),
    }


def test_a_model_without_vectors_is_not_measured() -> None:
    with pytest.raises(NotApplicableError, match="needs an encoder"):
        new_task().describe(SimpleNamespace(encoder=None))


def test_processes_that_compute_together_are_not_measured() -> None:
    task = new_task()
    task.prepare()
    with pytest.raises(NotApplicableError, match="one process"):
        task.score(SimpleNamespace(encoder="encoder"), context(world_size=2))


def test_scoring_names_the_version_of_torch() -> None:
    assert importlib.metadata.version("torch") in new_task().info.scoring
