from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import cli, failures, runner
from bench.records import DataCheck, Record, write
from bench.runner import Cell, Report, Settings


def call(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    cli.register(parser.add_subparsers())
    args = parser.parse_args(["bench", *arguments])
    status: int = args.handler(args)
    return status


def test_registering_imports_nothing_heavy() -> None:
    heavy = {"torch", "mteb", "numpy", "datasets", "sentence_transformers", "lightning", "rich", "tqdm"}
    code = f"import sys, bench.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_list_names_suites_tasks_and_official_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list") == 0
    shown = capsys.readouterr().out
    for name in ("--suite pydoc", "PydocClustering", "PydocText", "WikiText2", "SciFact"):
        assert name in shown


def test_status_shows_scores_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], new_record: Callable[..., Record]
) -> None:
    write(new_record("full", "T1", main=0.125), tmp_path)
    write(new_record("tied", "T2", main=0.75), tmp_path)
    assert call("status", "--results", str(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "0.1250" in shown
    assert shown.count("missing") == 3, "a heading and two cells"


def test_status_names_unusable_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], new_record: Callable[..., Record]
) -> None:
    path = write(new_record(), tmp_path)
    path.write_text("{")
    assert call("status", "--results", str(tmp_path)) == 1
    shown = capsys.readouterr().out
    assert str(path) in shown
    assert "no records" in shown


def test_status_tells_failed_cells_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], new_record: Callable[..., Record]
) -> None:
    full = new_record("full", "T1", main=0.125)
    write(full, tmp_path)
    write(new_record("tied", "T2", main=0.75), tmp_path)
    failures.note(tmp_path, "full", full.model, "T2", "out of memory")
    failures.note(tmp_path, "gone", None, "T1", "no such file")
    assert call("status", "--results", str(tmp_path), "--cells") == 1
    lines = capsys.readouterr().out.splitlines()
    revision = full.model.revision[:12]
    assert f"full  {revision}  T1  done 0.1250" in lines
    assert f"full  {revision}  T2  failed: out of memory" in lines
    assert "gone  unopened  T1  failed: no such file" in lines
    assert "gone  unopened  T2  missing" in lines
    assert call("status", "--results", str(tmp_path)) == 1
    shown = capsys.readouterr().out
    assert "failed: full  T2: out of memory" in shown
    assert call("status", "--results", str(tmp_path), "--model", "tied") == 0


def test_status_knows_what_a_model_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], new_record: Callable[..., Record]
) -> None:
    full, bm25 = new_record("full", "T1"), new_record("bm25", "T2")
    write(full, tmp_path)
    write(bm25, tmp_path)
    failures.note(tmp_path, "bm25", bm25.model, "T1", "has no vectors", "not applicable")
    assert call("status", "--results", str(tmp_path)) == 0, "nothing failed"
    row = next(line for line in capsys.readouterr().out.splitlines() if "bm25" in line)
    assert "n/a" in row
    assert "missing" not in row
    assert call("status", "--results", str(tmp_path), "--cells") == 0
    assert "T1  not applicable: has no vectors" in capsys.readouterr().out


def test_status_counts_what_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], new_record: Callable[..., Record]
) -> None:
    for number in range(20):
        write(new_record("full", f"T{number}"), tmp_path)
    assert call("status", "--results", str(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "20 tasks do not fit" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_status_marks_data_that_is_not_the_official(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: Record
) -> None:
    write(replace(record, task=replace(record.task, check=DataCheck("deviates", "2 rows less"))), tmp_path)
    assert call("status", "--results", str(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "0.5000*" in shown
    assert "* not the official data: PydocRetrieval: 2 rows less" in shown


def test_status_without_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="zoo bench run"):
        call("status", "--results", str(tmp_path / "nowhere"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, record: Record) -> list[tuple[Any, ...]]:
    seen: list[tuple[Any, ...]] = []

    def run(*args: Any, settings: Settings, **options: Any) -> Report:
        seen.append((*args, options | {"settings": settings}))
        cells = [Cell("m", "T1", "scored", record), Cell("m", "T2", "hit", record)]
        if "bad" in args[0]:
            cells.append(Cell("bad", "T3", "failed", reason="because"))
        for cell in cells:
            settings.on_cell(cell)
        return Report(tuple(cells))

    monkeypatch.setattr(runner, "run", run)
    return seen


def test_run_prints_each_cell_and_a_summary(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--model", "m", "--results", "r") == 0
    assert calls[0][:4] == (["m"], ["pydoc", "lm"], [], "r")
    shown = capsys.readouterr().out
    assert "scored: m  T1  ndcg_at_10 0.5000  (1.0 s)" in shown
    assert "hit: m  T2  ndcg_at_10 0.5000  (already recorded, nothing encoded)" in shown
    assert "1 scored, 1 hit; records in r" in shown


def test_a_failed_task_is_an_exit_status(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--model", "m", "bad", "--suite", "pydoc", "--quiet") == 1
    assert calls[0][4]["settings"].progress is False
    assert "failed: bad  T3: because" in capsys.readouterr().out


def test_options_given_twice_add_up(calls: list[Any]) -> None:
    call("run", "--model", "m", "--model", "n", "o", "--tasks", "SciFact", "--tasks", "STS12")
    assert calls[0][:3] == (["m", "n", "o"], [], ["SciFact", "STS12"])


def test_naming_tasks_runs_no_suite(calls: list[Any]) -> None:
    call("run", "--model", "m", "--tasks", "SciFact", "--packages", "numpy", "--precision", "bf16-mixed")
    assert calls[0][1:3] == ([], ["SciFact"])
    assert calls[0][4]["sources"].packages == ["numpy"]
    assert calls[0][4]["settings"].precision == "bf16-mixed"
