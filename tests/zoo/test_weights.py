from __future__ import annotations

from pathlib import Path

import pytest
import torch

from zoo.weights import find, read

HEADER = {"format": 1}


def save(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def test_finds_the_best_before_the_last(tmp_path: Path) -> None:
    last = save(tmp_path / "checkpoints" / "last.ckpt", 0)
    assert find(tmp_path) == last
    best = save(tmp_path / "checkpoints" / "best.ckpt", 0)
    assert find(tmp_path) == best
    assert find(last) == last


def test_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no checkpoints/best\.ckpt or last\.ckpt"):
        find(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist: give a run folder"):
        find(tmp_path / "nowhere")


def test_reads_what_it_should(tmp_path: Path) -> None:
    assert read(save(tmp_path / "a.ckpt", {"zoo": HEADER, "x": 1})) == {"zoo": HEADER, "x": 1}


@pytest.mark.parametrize("kept", [0, 10, 1000])
def test_a_truncated_file(kept: int, tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", {"zoo": HEADER, "x": torch.randn(1000)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"a\.ckpt is truncated or no checkpoint"):
        read(path)


@pytest.mark.parametrize("content", [b"hello\n", b"\x80\x04garbage", b"PK\x03\x04 not a zip file"])
def test_a_file_of_another_kind(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.ckpt is truncated or no checkpoint"):
        read(path)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2]])
def test_a_checkpoint_of_another_program(content: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="was not written by `zoo fit`"):
        read(save(tmp_path / "a.ckpt", content))


def test_a_checkpoint_of_another_version(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has format 99, this version reads 1"):
        read(save(tmp_path / "a.ckpt", {"zoo": {"format": 99}}))
