"""`zoo doctor`: versions, devices, caches, and what is missing."""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib import metadata
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `zoo doctor`."""
    parser = commands.add_parser("doctor", help="show versions, devices and caches, and what is missing")
    parser.set_defaults(handler=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from zoo.provenance import git_state, hardware, versions

    lines = ["versions"]
    lines += [f"  {name:<14} {version}" for name, version in versions().items()]
    commit = git_state()["commit"]
    lines.append(f"  {'commit':<14} {commit or 'installed package, no repository'}")
    lines.append("hardware")
    lines += [f"  {name:<14} {value}" for name, value in hardware().items()]
    lines.append("precision")
    lines += [f"  {name:<14} {text}" for name, text in _precisions().items()]
    lines.append("caches")
    lines += [f"  {name:<14} {text}" for name, text in _caches().items()]
    problems = broken_requirements()
    lines.append("problems")
    lines += [f"  {problem}" for problem in problems] or ["  none"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if problems else 0


def _precisions() -> dict[str, str]:
    import torch

    gpu = torch.cuda.is_available()
    half = "yes" if gpu else "no: needs a GPU"
    native = (gpu and torch.cuda.is_bf16_supported()) or torch.cpu._is_avx512_bf16_supported()
    bfloat = "yes" if native else "yes, but emulated here and slower than 32-true"
    return {"32-true": "yes", "bf16-mixed": bfloat, "16-mixed": half}


def _caches() -> dict[str, str]:
    from huggingface_hub.constants import HF_HOME

    from zoo.data.cache import cache_root

    return {name: _disk(Path(path)) for name, path in (("zoo", cache_root()), ("hub", HF_HOME))}


def _disk(folder: Path) -> str:
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free / 1e9
    return f"{folder} ({'' if folder.exists() else 'not there yet, '}{free:.0f} GB free)"


def broken_requirements(package: str = "zoo") -> list[str]:
    """Requirements of the installed package that this environment does not meet, one line each."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return [f"{package} is not installed: run `pip install .` in its source tree"]
    problems = []
    for requirement in map(Requirement, lines):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{requirement.name} is missing: pip install '{requirement.name}{requirement.specifier}'")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement.name} {version} is not {requirement.specifier}: pip install '{requirement}'")
    return problems
