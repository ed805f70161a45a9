from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import failures, runner
from bench.examples import Examples
from bench.models.bm25 import BM25Model
from bench.records import load_all, path_of, read
from bench.runner import Report, Settings, run
from bench.suites.mteb_task import MtebTask

NewEncoder = Callable[..., Any]


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch, new_splits: Callable[..., Any]) -> None:
    monkeypatch.setattr("zoo.data.pydoc_splits.load_pydoc", lambda **_: new_splits())


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Models by the name that opens them; an exception is raised instead of being opened."""
    found: dict[str, Any] = {}

    def open_model(name: str, **_: Any) -> Any:
        if isinstance(found[name], Exception):
            raise found[name]
        return found[name]

    monkeypatch.setattr(runner, "open_model", open_model)
    monkeypatch.setattr(runner, "kind_of", lambda name: found[name])
    return found


@pytest.fixture
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """No progress bars, and an empty cache."""
    return Settings(progress=False, cache_dir=str(tmp_path_factory.mktemp("cache")))


def scores(report: Report) -> dict[tuple[str, str], float]:
    return {(c.model, c.task): c.record.scores.main for c in report.cells if c.record is not None}


def _mains(report: Report) -> list[float]:
    return [cell.record.scores.main for cell in report.cells if cell.record is not None]


def states(report: Report) -> list[str]:
    return [cell.status for cell in report.cells]


@pytest.mark.usefixtures("corpus")
def test_models_of_one_name_and_other_weights_get_their_own_scores(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any], quiet: Settings
) -> None:
    models["a"] = new_model(encoder=new_encoder(seed=0))
    models["b"] = new_model(encoder=new_encoder(seed=1, dim=2))
    alone, other = (_mains(run([name], results_dir=tmp_path / name, settings=quiet)) for name in "ab")
    differences = [abs(x - y) for x, y in zip(alone, other, strict=True)]
    assert min(differences) > 1e-2, "one model was given the scores of the other"
    together = run(["a", "b"], results_dir=tmp_path / "together", settings=quiet)
    assert _mains(together) == [*alone, *other]
    assert all(cell.record is not None and cell.record.evaluation.texts for cell in together.cells)
    assert len(list((tmp_path / "together").rglob("*.json"))) == 8


@pytest.mark.usefixtures("corpus")
def test_a_second_run_encodes_nothing(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any], quiet: Settings
) -> None:
    encoder = new_encoder()
    models["a"] = new_model(encoder=encoder)
    first = run(["a"], results_dir=tmp_path, settings=quiet)
    assert states(first) == ["scored"] * 4
    assert encoder.calls
    encoder.calls.clear()
    second = run(["a"], results_dir=tmp_path, settings=quiet)
    assert states(second) == ["hit"] * 4
    assert not encoder.calls
    assert scores(first) == scores(second)


def test_other_data_is_no_hit(
    tmp_path: Path,
    models: dict[str, Any],
    new_encoder: NewEncoder,
    new_model: Callable[..., Any],
    new_splits: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    quiet: Settings,
) -> None:
    models["a"] = new_model(encoder=new_encoder())
    for count, state in [(20, "scored"), (20, "hit"), (19, "scored")]:
        monkeypatch.setattr("zoo.data.pydoc_splits.load_pydoc", lambda count=count, **_: new_splits(count=count))
        report = run(["a"], [], ["PydocRetrieval"], tmp_path, settings=quiet)
        assert states(report) == [state]


@pytest.mark.usefixtures("corpus")
def test_a_failing_model_stops_nothing_and_scores_nothing(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any], quiet: Settings
) -> None:
    models["broken"] = new_model(encoder=new_encoder(broken=True, name="broken"))
    models["unreadable"] = ValueError("x.ckpt is\ntruncated")
    models["good"] = new_model(encoder=new_encoder())
    seen: list[Any] = []
    report = run(["broken", "unreadable", "good"], results_dir=tmp_path, settings=replace(quiet, on_cell=seen.append))
    assert states(report) == ["failed"] * 8 + ["scored"] * 4
    assert "not finite" in report.failed[0].reason
    assert report.failed[4].reason == "x.ckpt is truncated"
    assert {record.model.name for record in load_all(tmp_path)[0]} == {"fake"}
    assert {failure.model for failure in failures.load_all(tmp_path)} == {"broken", "unreadable"}
    assert tuple(seen) == report.cells


@pytest.mark.usefixtures("corpus")
def test_what_a_model_cannot_do_is_not_applicable(
    tmp_path: Path, models: dict[str, Any], new_model: Callable[..., Any], quiet: Settings
) -> None:
    models["bm25"] = new_model(searcher=BM25Model())
    report = run(["bm25"], ["pydoc", "lm"], (), tmp_path, settings=quiet)
    assert states(report) == ["scored"] + ["not applicable"] * 5
    assert not report.failed
    assert scores(report).keys() == {("bm25", "PydocRetrieval")}


@pytest.mark.usefixtures("corpus")
def test_a_damaged_record_is_reported_and_not_overwritten(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any], quiet: Settings
) -> None:
    models["a"] = new_model(encoder=new_encoder())
    run(["a"], [], ["PydocRetrieval"], tmp_path, settings=quiet)
    (path,) = tmp_path.rglob("PydocRetrieval.*.json")
    damaged = path.read_text()[:-20]
    path.write_text(damaged)
    report = run(["a"], [], ["PydocRetrieval"], tmp_path, settings=quiet)
    assert states(report) == ["failed"]
    assert "delete it" in report.failed[0].reason
    assert path.read_text() == damaged


@pytest.mark.usefixtures("corpus")
def test_a_full_disk_is_a_failure_with_its_reason(
    tmp_path: Path,
    models: dict[str, Any],
    new_encoder: NewEncoder,
    new_model: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    quiet: Settings,
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    models["a"] = new_model(encoder=new_encoder())
    monkeypatch.setattr(os, "fsync", full)
    report = run(["a"], [], ["PydocRetrieval"], tmp_path, settings=quiet)
    assert "No space left on device" in report.failed[0].reason
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("corpus")
def test_a_label_names_the_model(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any], quiet: Settings
) -> None:
    models["a/b"] = new_model(encoder=new_encoder())
    report = run(["mine=a/b"], [], ["PydocRetrieval"], tmp_path, settings=quiet)
    assert [cell.model for cell in report.cells] == ["mine"]
    (path,) = tmp_path.rglob("*.json")
    assert read(path).model.name == "mine"


@pytest.mark.usefixtures("corpus")
def test_the_record_says_where_it_comes_from(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any], quiet: Settings
) -> None:
    encoder = new_encoder()
    models["a"] = new_model(encoder=encoder)
    (cell,) = run(["a"], [], ["PydocRetrieval"], tmp_path, settings=quiet).cells
    assert cell.record is not None
    evaluation = cell.record.evaluation
    assert evaluation.texts_encoded == sum(len(texts) for texts, _, _ in encoder.calls) <= evaluation.texts == 120
    assert 0 < evaluation.encode_seconds <= evaluation.seconds
    assert "mteb" in evaluation.versions
    assert "cpu" in evaluation.hardware


def test_wrong_names_are_refused_before_anything_is_run(tmp_path: Path, quiet: Settings) -> None:
    with pytest.raises(ValueError, match="--model nope"):
        run(["bm25", "nope"], results_dir=tmp_path, settings=quiet)
    with pytest.raises(ValueError, match="--suite nope"):
        run(["bm25"], ["nope"], results_dir=tmp_path, settings=quiet)
    with pytest.raises(ValueError, match="--precision"):
        run(["bm25"], results_dir=tmp_path, settings=Settings(precision="8", progress=False))
    assert not list(tmp_path.iterdir())


def test_ctrl_c_is_not_swallowed(
    tmp_path: Path, models: dict[str, Any], new_model: Callable[..., Any], corpus: None, quiet: Settings
) -> None:
    class Interrupted:
        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    models["a"] = new_model(encoder=Interrupted())
    with pytest.raises(KeyboardInterrupt):
        run(["a"], results_dir=tmp_path, settings=quiet)


@pytest.mark.usefixtures("corpus")
def test_each_distinct_text_is_encoded_once_over_all_tasks_and_runs(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any], quiet: Settings
) -> None:
    encoder = new_encoder()
    models["a"] = new_model(encoder=encoder)
    run(["a"], results_dir=tmp_path / "first", settings=quiet)
    given = [(text, prompt, role) for texts, prompt, role in encoder.calls for text in texts]
    assert len(given) == len(set(given))
    encoder.calls.clear()
    again = run(["a"], results_dir=tmp_path / "second", settings=quiet)
    assert not encoder.calls
    assert all(cell.record and cell.record.evaluation.texts_encoded == 0 for cell in again.cells)


@pytest.mark.usefixtures("corpus")
def test_values_of_single_examples_lie_beside_the_record(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any], quiet: Settings
) -> None:
    models["a"] = new_model(encoder=new_encoder())
    for cell in run(["a"], results_dir=tmp_path, settings=quiet).cells:
        assert cell.record is not None
        path = path_of(tmp_path, cell.record.model, cell.record.task)
        assert read(path) == cell.record
        kept = cell.record.examples
        assert kept is not None
        examples = Examples.load(path.parent / kept.file)
        assert examples.statistic() == pytest.approx(cell.record.scores.main, abs=1e-5)
        assert hashlib.sha256((path.parent / kept.file).read_bytes()).hexdigest() == kept.sha256
        assert examples.count == kept.count


@pytest.mark.usefixtures("corpus")
def test_changed_weights_are_a_miss_that_names_them(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any], quiet: Settings
) -> None:
    for seed, reason in [(0, ""), (1, "changed since it was scored: model's weights")]:
        models["a"] = new_model(encoder=new_encoder(seed=seed))
        (cell,) = run(["a"], [], ["PydocRetrieval"], tmp_path, settings=quiet).cells
        assert (cell.status, cell.reason) == ("scored", reason)


@pytest.mark.usefixtures("corpus")
def test_a_failure_is_told_by_status_until_it_is_mended(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any], quiet: Settings
) -> None:
    models["a"] = new_model(encoder=new_encoder(broken=True))
    run(["a"], [], ["PydocRetrieval"], tmp_path, settings=quiet)
    (failure,) = failures.load_all(tmp_path)
    assert "not finite" in failure.reason
    models["a"] = new_model(encoder=new_encoder())
    run(["a"], [], ["PydocRetrieval"], tmp_path, settings=quiet)
    assert failures.load_all(tmp_path) == []


@pytest.mark.usefixtures("corpus")
def test_the_next_task_is_loaded_while_this_one_is_scored(
    tmp_path: Path,
    models: dict[str, Any],
    new_encoder: NewEncoder,
    new_model: Callable[..., Any],
    quiet: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: dict[str, str] = {}
    real = MtebTask.prepare

    def prepare(task: MtebTask) -> None:
        threads.setdefault(task.info.name, threading.current_thread().name)
        real(task)

    monkeypatch.setattr(MtebTask, "prepare", prepare)
    models["a"] = new_model(encoder=new_encoder())
    run(["a"], [], ["PydocRetrieval", "PydocClustering"], tmp_path, settings=quiet)
    assert threads["PydocRetrieval"] == "MainThread"
    assert threads["PydocClustering"] != "MainThread"
