from __future__ import annotations

import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoo.export import writing
from zoo.export.writing import write_folder


def test_an_empty_folder_may_exist(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_folder(tmp_path / "out", {"a.json": "{}", "deep/b.json": "é"}, {"x": torch.ones(2)})
    assert (tmp_path / "out" / "deep" / "b.json").read_text(encoding="utf-8") == "é"
    assert torch.equal(load_file(tmp_path / "out" / "model.safetensors")["x"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) & 0o500 == 0o500


def test_folders_above_are_made(tmp_path: Path) -> None:
    write_folder(tmp_path / "new" / "er" / "out", {}, {"x": torch.ones(2)})
    assert (tmp_path / "new" / "er" / "out" / "model.safetensors").is_file()


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"out is not empty: name another folder, or remove it first"):
        write_folder(tmp_path / "out", {"a.json": "{}"}, {})
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "mine.txt"]


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_settle", full)
    with pytest.raises(OSError, match="No space left"):
        write_folder(tmp_path / "out", {"a.json": "{}"}, {"x": torch.ones(2)})
    assert not list(tmp_path.iterdir())
