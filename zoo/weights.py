"""The files of checkpoints: which one a path names, what is in it, and starting one model from another's weights."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import nn

from zoo.contracts import JsonDict

_FORMAT = 1


def find(path: str | Path) -> Path:
    """The checkpoint file that `path` names: itself, or `checkpoints/best.ckpt`, else `last.ckpt`, of a run folder.

    Raises:
        FileNotFoundError: if there is none.
    """
    given = Path(path)
    if given.is_file():
        return given
    candidates = [given / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if given.is_dir():
        raise FileNotFoundError(f"{given} holds no checkpoints/best.ckpt or last.ckpt: has the run saved one yet?")
    raise FileNotFoundError(f"{given} does not exist: give a run folder or a .ckpt file")


def read(path: str | Path) -> JsonDict:
    """The content of a checkpoint, tensors on the CPU.

    Raises:
        FileNotFoundError: if there is none at `path`.
        ValueError: if the file is truncated, is no checkpoint, or was not written by this project.
    """
    file = find(path)
    try:
        if not is_zipfile(file):  # what torch does with other bytes is anyone's guess
            raise pickle.UnpicklingError("no zip archive")
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
        raise ValueError(
            f"{file} is truncated or no checkpoint: use an earlier one of the run, or train again"
        ) from error
    header = content.get("zoo") if isinstance(content, dict) else None
    if header is None:
        raise ValueError(f"{file} was not written by `zoo fit`: score foreign models by folder or hub name instead")
    if header["format"] != _FORMAT:
        raise ValueError(
            f"{file} has format {header['format']}, this version reads {_FORMAT}: install the version that wrote it"
        )
    assert isinstance(content, dict)
    return content


def take_over(parts: dict[str, nn.Module], tokenizer: str, path: str | Path) -> None:
    """Start modules of a new model from those of a checkpoint.

    Args:
        parts: the new modules by the name that they have in the checkpoint's model.
        tokenizer: JSON of the new model's tokenizer.
        path: run folder or checkpoint file.

    Raises:
        ValueError: if the vocabulary or a shape differs.
    """
    content = read(path)
    if content["zoo"]["tokenizer"] != tokenizer:
        raise ValueError(
            f"init_from: {path} was trained with another tokenizer; "
            f"set data.tokenizer to PretrainedTokenizer with name_or_path {path}"
        )
    for part, target in parts.items():
        source = _part(content["state_dict"], part)
        _check_shapes(part, source, target.state_dict(), path)
        target.load_state_dict(source)


def _part(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def _check_shapes(part: str, source: dict[str, Any], target: dict[str, Any], path: str | Path) -> None:
    differing = sorted(source.keys() ^ target.keys()) or sorted(
        key for key in source if source[key].shape != target[key].shape
    )
    if differing:
        key = differing[0]
        shapes = [str(list(s[key].shape)) if key in s else "nothing" for s in (source, target)]
        raise ValueError(
            f"init_from: {path} has {shapes[0]} and this model {shapes[1]} at {part}.{key}: "
            f"give model.{part} and model.width the values of that run"
        )
