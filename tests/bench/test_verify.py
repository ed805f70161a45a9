from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import runner, verify
from bench.records import Interval, path_of, read, write
from bench.runner import Settings


@pytest.fixture
def recorded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    new_encoder: Callable[..., Any],
    new_model: Callable[..., Any],
    new_splits: Callable[..., Any],
) -> Path:
    """The record of a model that opens as `m` with one set of weights and as `other` with another."""
    seeds = {"m": 0, "other": 1}

    def open_model(name: str, **_: Any) -> Any:
        return new_model(encoder=new_encoder(seed=seeds[name]))

    for module in (runner, verify):
        monkeypatch.setattr(module, "open_model", open_model)
    monkeypatch.setattr(runner, "kind_of", lambda name: name)
    monkeypatch.setattr("zoo.data.pydoc_splits.load_pydoc", lambda **_: new_splits())
    settings = Settings(progress=False, cache_dir=str(tmp_path / "cache"))
    (cell,) = runner.run(["m"], [], ["PydocRetrieval"], tmp_path / "results", settings=settings).cells
    assert cell.record is not None
    return path_of(tmp_path / "results", cell.record.model, cell.record.task)


def test_a_number_is_made_again(recorded: Path) -> None:
    verdict = verify.verify(recorded, "m")
    assert verdict.holds
    assert verdict.difference == 0
    assert verdict.changed == ()


def test_other_weights_are_named(recorded: Path) -> None:
    verdict = verify.verify(recorded, "other")
    assert not verdict.holds
    assert verdict.changed == ("model's weights",)


def test_a_number_outside_of_its_interval_does_not_hold(recorded: Path) -> None:
    record = read(recorded)
    within = Interval(low=0.1, high=0.2, level=0.95, method="bootstrap", unit="query", count=60)
    write(replace(record, scores=replace(record.scores, main=0.15, interval=within)), recorded.parents[2])
    verdict = verify.verify(recorded, "m")
    assert not verdict.holds
    assert verdict.changed == ()


def test_local_weights_must_be_named(recorded: Path) -> None:
    with pytest.raises(ValueError, match="say where they are with --model"):
        verify.verify(recorded)


def test_a_damaged_record_is_refused(recorded: Path) -> None:
    recorded.write_text(recorded.read_text()[:-30])
    with pytest.raises(ValueError, match="not a valid record"):
        verify.verify(recorded, "m")
