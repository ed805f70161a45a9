from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from zoo.provenance import config_hash, environment, git_state, write_json


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_commit_and_dirty_flag(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    clean = git_state(str(tmp_path))
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "a.py").write_text("2\n")
    git_state.cache_clear()
    assert git_state(str(tmp_path)) == clean | {"dirty": True}


def test_no_repository(tmp_path: Path) -> None:
    assert git_state(str(tmp_path)) == {"commit": None, "dirty": None}


def test_somebody_elses_repository_does_not_count(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "installed.py").write_text("1\n")
    assert git_state(str(tmp_path / "site-packages")) == {"commit": None, "dirty": None}


def test_environment_is_json() -> None:
    facts = json.loads(json.dumps(environment()))
    assert facts["versions"].keys() >= {"python", "zoo", "torch", "lightning"}
    assert facts["hardware"]["memory_bytes"] > 0
    assert facts["hardware"]["cores"] >= 1


def test_config_hash_sees_every_value() -> None:
    base: dict[str, Any] = {"a": {"b": 1, "c": [1, 2]}}
    assert config_hash(base) == config_hash({"a": {"c": [1, 2], "b": 1}})
    assert len({config_hash(c) for c in (base, {"a": {"b": 1, "c": [2, 1]}}, {"a": {"b": 2, "c": [1, 2]}})}) == 3


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"x": 2})
    assert json.loads(path.read_text()) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
