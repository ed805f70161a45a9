from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.pretrained import read_pretrained
from zoo.pretrained.folders import Folder, find_folder, read_config, read_tensors, read_tokenizer

Write = Callable[..., Any]


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache in an empty folder, without a network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_name_is_read_from_the_cache_of_the_hub(hub_cache: Path, write_model: Write) -> None:
    stored, commit = hub_cache / "models--someone--tiny", "a" * 40
    write_model(stored / "snapshots" / commit, "bert")
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text(commit)
    assert find_folder("someone/tiny").path == stored / "snapshots" / commit
    assert read_pretrained("someone/tiny").width == 12


@pytest.mark.parametrize("name", ["someone/absent", "absent", "a/b/c"])
def test_a_name_that_is_nowhere(name: str, hub_cache: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no model at '{name}': .* without a network, name a folder"):
        read_pretrained(name)


@pytest.mark.parametrize("path", ["./absent", "/absent/model"])
def test_a_path_is_not_looked_for_on_the_hub(path: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent.* does not exist: name a folder with config.json"):
        read_pretrained(path)


def test_what_is_missing_is_named(write_model: Write, tmp_path: Path) -> None:
    for name, hint in {
        "config.json": "has no config.json",
        "model.safetensors": "has no weights: looked for model.safetensors, pytorch_model.bin",
        "tokenizer.json": "has no tokenizer.json: write one with transformers",
    }.items():
        folder = tmp_path / name
        write_model(folder, "bert")
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=hint):
            read_pretrained(folder)


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match="is a file: name the folder"):
        read_pretrained(tmp_path / "model.safetensors")


def test_a_shard_that_is_missing(write_model: Write, tmp_path: Path) -> None:
    write_model(tmp_path, "bert", head=True)
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=f"{shard.name} is missing: the index of the weights names it"):
        read_tensors(Folder(tmp_path))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_truncated_weights(name: str, write_model: Write, tmp_path: Path) -> None:
    write_model(tmp_path / "whole", "bert")
    file = tmp_path / name
    if name.endswith("bin"):
        torch.save({"x": torch.ones(1000)}, file)
    else:
        shutil.copy(tmp_path / "whole" / name, file)
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(ValueError, match=f"{name} is truncated or holds no weights"):
        read_tensors(Folder(tmp_path))


def test_a_pickle_that_runs_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"x": Path}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="holds no weights"):
        read_tensors(Folder(tmp_path))


@pytest.mark.parametrize(("text", "message"), [("{", "is no JSON"), ("[1]", "is no JSON object")])
def test_a_broken_configuration(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_config(Folder(tmp_path))


def test_a_broken_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": 1}))
    with pytest.raises(ValueError, match=r"is not a tokenizer.json of the tokenizers library"):
        read_tokenizer(Folder(tmp_path))
