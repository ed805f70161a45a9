from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import runner
from bench.models.bm25 import BM25Model
from bench.records import read
from bench.runner import Report, run

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


def scores(report: Report) -> dict[tuple[str, str], float]:
    return {(c.model, c.task): c.record.scores.main for c in report.cells if c.record is not None}


def _mains(report: Report) -> list[float]:
    return [cell.record.scores.main for cell in report.cells if cell.record is not None]


def states(report: Report) -> list[str]:
    return [cell.status for cell in report.cells]


@pytest.mark.usefixtures("corpus")
def test_models_of_one_name_and_other_weights_get_their_own_scores(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any]
) -> None:
    models["a"] = new_model(encoder=new_encoder(seed=0))
    models["b"] = new_model(encoder=new_encoder(seed=1, dim=2))
    alone, other = (_mains(run([name], results_dir=tmp_path / name, progress=False)) for name in "ab")
    differences = [abs(x - y) for x, y in zip(alone, other, strict=True)]
    assert min(differences) > 1e-2, "one model was given the scores of the other"
    together = run(["a", "b"], results_dir=tmp_path / "together", progress=False)
    assert _mains(together) == [*alone, *other]
    assert all(cell.record is not None and cell.record.evaluation.texts_encoded for cell in together.cells)
    assert len(list((tmp_path / "together").rglob("*.json"))) == 8


@pytest.mark.usefixtures("corpus")
def test_a_second_run_encodes_nothing(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any]
) -> None:
    encoder = new_encoder()
    models["a"] = new_model(encoder=encoder)
    first = run(["a"], results_dir=tmp_path, progress=False)
    assert states(first) == ["scored"] * 4
    assert encoder.calls
    encoder.calls.clear()
    second = run(["a"], results_dir=tmp_path, progress=False)
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
) -> None:
    models["a"] = new_model(encoder=new_encoder())
    for count, state in [(20, "scored"), (20, "hit"), (19, "scored")]:
        monkeypatch.setattr("zoo.data.pydoc_splits.load_pydoc", lambda count=count, **_: new_splits(count=count))
        report = run(["a"], [], ["PydocRetrieval"], tmp_path, progress=False)
        assert states(report) == [state]


@pytest.mark.usefixtures("corpus")
def test_a_failing_model_stops_nothing_and_scores_nothing(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any]
) -> None:
    models["broken"] = new_model(encoder=new_encoder(broken=True, name="broken"))
    models["unreadable"] = ValueError("x.ckpt is\ntruncated")
    models["good"] = new_model(encoder=new_encoder())
    seen: list[Any] = []
    report = run(["broken", "unreadable", "good"], results_dir=tmp_path, progress=False, on_cell=seen.append)
    assert states(report) == ["failed"] * 5 + ["scored"] * 4
    assert "not finite" in report.failed[0].reason
    assert report.failed[4].reason == "x.ckpt is truncated"
    assert {path.parts[-3] for path in tmp_path.rglob("*.json")} == {"fake"}
    assert tuple(seen) == report.cells


@pytest.mark.usefixtures("corpus")
def test_what_a_model_cannot_do_is_not_applicable(
    tmp_path: Path, models: dict[str, Any], new_model: Callable[..., Any]
) -> None:
    models["bm25"] = new_model(searcher=BM25Model())
    report = run(["bm25"], ["pydoc", "lm"], (), tmp_path, progress=False)
    assert states(report) == ["scored"] + ["not applicable"] * 4
    assert not report.failed
    assert scores(report).keys() == {("bm25", "PydocRetrieval")}


@pytest.mark.usefixtures("corpus")
def test_a_damaged_record_is_reported_and_not_overwritten(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any]
) -> None:
    models["a"] = new_model(encoder=new_encoder())
    run(["a"], [], ["PydocRetrieval"], tmp_path, progress=False)
    (path,) = tmp_path.rglob("*.json")
    damaged = path.read_text()[:-20]
    path.write_text(damaged)
    report = run(["a"], [], ["PydocRetrieval"], tmp_path, progress=False)
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
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    models["a"] = new_model(encoder=new_encoder())
    monkeypatch.setattr(os, "fsync", full)
    report = run(["a"], [], ["PydocRetrieval"], tmp_path, progress=False)
    assert "No space left on device" in report.failed[0].reason
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("corpus")
def test_a_label_names_the_model(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any]
) -> None:
    models["a/b"] = new_model(encoder=new_encoder())
    report = run(["mine=a/b"], [], ["PydocRetrieval"], tmp_path, progress=False)
    assert [cell.model for cell in report.cells] == ["mine"]
    (path,) = tmp_path.rglob("*.json")
    assert read(path).model.name == "mine"


@pytest.mark.usefixtures("corpus")
def test_the_record_says_where_it_comes_from(
    tmp_path: Path, models: dict[str, Any], new_encoder: NewEncoder, new_model: Callable[..., Any]
) -> None:
    encoder = new_encoder()
    models["a"] = new_model(encoder=encoder)
    (cell,) = run(["a"], [], ["PydocRetrieval"], tmp_path, progress=False).cells
    assert cell.record is not None
    evaluation = cell.record.evaluation
    assert evaluation.texts_encoded == sum(len(texts) for texts, _, _ in encoder.calls) == 120
    assert 0 < evaluation.encode_seconds <= evaluation.seconds
    assert "mteb" in evaluation.versions
    assert "cpu" in evaluation.hardware


def test_wrong_names_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--model nope"):
        run(["bm25", "nope"], results_dir=tmp_path, progress=False)
    with pytest.raises(ValueError, match="--suite nope"):
        run(["bm25"], ["nope"], results_dir=tmp_path, progress=False)
    with pytest.raises(ValueError, match="--precision"):
        run(["bm25"], results_dir=tmp_path, precision="8", progress=False)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_is_not_swallowed(
    tmp_path: Path, models: dict[str, Any], new_model: Callable[..., Any], corpus: None
) -> None:
    class Interrupted:
        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    models["a"] = new_model(encoder=Interrupted())
    with pytest.raises(KeyboardInterrupt):
        run(["a"], results_dir=tmp_path, progress=False)
