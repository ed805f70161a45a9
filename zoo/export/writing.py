"""A whole folder or none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor


def check_target(folder: Path) -> None:
    """Say early that `folder` cannot be written.

    Raises:
        ValueError: if it is a file, lies below one, or holds something.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"{folder} is no folder: name one that does not exist yet")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if not above.is_dir():
        raise ValueError(f"{above} is a file, so there can be no {folder}: name another folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: name another folder, or remove it first")


def write_folder(folder: Path, files: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    """Write `files` (by path in the folder) and `model.safetensors`; the folder appears when all of it is on the disk.

    Raises:
        ValueError: if `folder` holds something.
    """
    from safetensors.torch import save_file

    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, text in files.items():
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_text(text, encoding="utf-8")
        save_file(dict(tensors), partial / "model.safetensors", metadata={"format": "pt"})
        _settle(partial)
        check_target(folder)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _settle(folder: Path) -> None:
    """Flush every file to the disk, and let others read what a temporary folder hides."""
    mask = os.umask(0)
    os.umask(mask)
    for path in [folder, *folder.rglob("*")]:
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
