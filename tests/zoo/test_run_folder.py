from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from zoo.run_folder import RunFolder, experiment_hash, run_name


@pytest.fixture
def config() -> dict[str, Any]:
    return {
        "model": {"class_path": "zoo.objectives.MaskedLM", "init_args": {"width": 8}},
        "data": {"class_path": "zoo.data.TextCorpus"},
        "run_dir": None,
        "ckpt_path": None,
    }


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ZOO_RUN_DIR", "RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK"):
        monkeypatch.setenv(name, "0")
        monkeypatch.delenv(name)


def finish(folder: RunFolder, config: dict[str, Any], time: int) -> None:
    folder.write_config(config)
    folder.checkpoints.mkdir()
    (folder.checkpoints / "last.ckpt").write_bytes(b"x")
    os.utime(folder.checkpoints / "last.ckpt", (time, time))


def test_name_says_what_and_tells_configurations_apart(config: dict[str, Any]) -> None:
    assert run_name(config).startswith("MaskedLM-TextCorpus-")
    assert experiment_hash(config) == experiment_hash(config | {"run_dir": "x", "ckpt_path": "last"})
    assert experiment_hash(config) != experiment_hash(config | {"seed_everything": 1})


def test_a_new_run_never_writes_into_an_old_one(config: dict[str, Any]) -> None:
    first, second = RunFolder.create(config, None), RunFolder.create(config, None)
    assert first.path == Path("runs") / run_name(config)
    assert second.path.name == f"{first.path.name}-2"
    chosen = RunFolder.create(config, "mine")
    chosen.write_config(config)
    with pytest.raises(ValueError, match="run_dir mine already holds a run: add --ckpt_path last"):
        RunFolder.create(config, "mine")


def test_configuration_comes_back_without_what_is_no_experiment(config: dict[str, Any]) -> None:
    folder = RunFolder.create(config, "mine")
    assert not folder.exists
    folder.write_config(config | {"run_dir": "mine"})
    assert folder.exists
    assert folder.read_config() == {"model": config["model"], "data": config["data"]}


def test_resumes_the_newest(config: dict[str, Any]) -> None:
    folders = [RunFolder.create(config, None) for _ in range(3)]
    finish(folders[0], config, time=100)
    finish(folders[1], config, time=200)
    assert RunFolder.find(config, None).path == folders[1].path
    assert RunFolder.find(config, str(folders[0].path)).path == folders[0].path
    assert folders[0].checkpoint("last").is_file()
    with pytest.raises(FileNotFoundError, match=r"best\.ckpt does not exist"):
        folders[0].checkpoint("best")


def test_nothing_to_resume(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"nothing to resume: mine has no checkpoints/last\.ckpt"):
        RunFolder.find(config, "mine")
    with pytest.raises(ValueError, match="nothing to resume: runs/MaskedLM-TextCorpus-"):
        RunFolder.find(config, None)


def test_other_processes_follow_the_first(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    first = RunFolder.create(config, None)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert RunFolder.create(config, None).path == first.path
