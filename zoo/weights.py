"""The files of checkpoints: which one a path names, what is in it, and what identifies its weights."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from zipfile import is_zipfile

import torch
from torch import Tensor

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


def hash_of(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of the weights in a state dict, hexadecimal, wherever they lie."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        if name == "_tokens_seen":
            continue
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
