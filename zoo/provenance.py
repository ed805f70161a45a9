"""Where a number comes from: code, versions, machine and configuration."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("torch", "lightning", "jsonargparse", "datasets", "tokenizers", "transformers", "mteb", "numpy")


@cache
def git_state(folder: str | None = None) -> dict[str, Any]:
    """Commit of the source tree and whether it has uncommitted changes.

    An installed copy has no repository: both are None then, and the version number stands for the code.

    Args:
        folder: a folder of the repository, by default the one this file lies in.
    """
    home = Path(folder) if folder else Path(__file__).resolve().parent
    commit = _git(home, "rev-parse", "HEAD")
    # an installed copy may lie inside somebody else's repository: only a tree that tracks this file counts
    if commit is None or _git(home, "ls-files", "--error-unmatch", ".") is None:
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(_git(home, "status", "--porcelain"))}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def versions() -> dict[str, str]:
    """Versions of Python, of this project and of the packages that can change a number."""
    from zoo import __version__

    found = {"python": platform.python_version(), "zoo": __version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # a trimmed installation: say nothing rather than guess
            continue
    return found


@cache
def hardware() -> dict[str, Any]:
    """Processor, cores, memory in bytes and accelerators of this machine."""
    import psutil
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": gpus,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def environment() -> dict[str, Any]:
    """Everything that is the same for all runs of this process."""
    return {"versions": versions(), "hardware": hardware(), **git_state()}


def config_hash(config: Any) -> str:
    """SHA-256 of the canonical JSON of a resolved configuration, hexadecimal.

    Example:
        >>> config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
        True
    """
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` so that a reader sees the old file or the whole new one.

    Raises:
        OSError: if the file system refuses; nothing is left behind then.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, sort_keys=True, default=str)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
