"""`zoo list`: what there is, read from the source without importing it."""

from __future__ import annotations

import argparse
import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent
_CLASS = re.compile(r"^class (\w+)\(([^)]*)\):", re.MULTILINE)

# axis -> (folder, key in a configuration, names of the contracts that a variant of it derives from)
AXES = {
    "objective": ("objectives", "model", {"LanguageModel", "Objective", "VocabularyObjective"}),
    "embedding": ("embeddings", "model.embedding", {"TokenEmbedding"}),
    "codes": ("embeddings/codes", "model.embedding.codes", {"CodeAssignment"}),
    "encoder": ("encoders", "model.encoder", {"Encoder", "Transformer"}),
    "balance": ("layers/moe", "model.encoder.mixture.balance", {"Balance"}),
    "feed-forward": ("layers", "model.encoder.feed_forward", {"FeedForward", "_Gated"}),
    "positions": ("layers", "model.encoder.positions", {"Positions"}),
    "head": ("heads", "model.head", {"OutputHead"}),
    "optimizer": ("optim", "model.optimizer", {"Optimizer", "AdamW"}),
    "schedule": ("optim", "model.schedule", {"Schedule"}),
    "data": ("data", "data", {"TextDataModule"}),
    "tokenizer": ("data/tokenizers", "data.tokenizer", {"TokenizerSource"}),
}


@dataclass(frozen=True)
class Variant:
    """A class that a configuration can name: its name and the first line of its docstring."""

    name: str
    summary: str


def scan_variants() -> dict[str, list[Variant]]:
    """The variants of each axis, by name."""
    return {axis: _variants(_HOME / folder, bases) for axis, (folder, _, bases) in AXES.items()}


def _variants(folder: Path, bases: set[str]) -> list[Variant]:
    headers = {}
    for path in sorted(folder.glob("*.py")):
        for name, parents in _CLASS.findall(path.read_text(encoding="utf-8")):
            headers[name] = (path, set(re.findall(r"\w+", parents)))
    found: set[str] = set()
    # a variant can derive from another one, which may stand in a later file
    while new := {name for name, (_, parents) in headers.items() if parents & (bases | found)} - found:
        found |= new
    public = sorted(name for name in found - bases if not name.startswith("_"))
    return [Variant(name, _summary(headers[name][0], name)) for name in public]


def _summary(path: Path, name: str) -> str:
    """First line of the docstring of a class."""
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    found = next(node for node in nodes if isinstance(node, ast.ClassDef) and node.name == name)
    return (ast.get_docstring(found) or "").partition("\n")[0]


def config_root() -> Path:
    """Folder of the configurations that come with the project, installed or in a source tree."""
    installed = _HOME / "configs"
    return installed if installed.is_dir() else _HOME.parent / "configs"


def shipped_configs() -> dict[str, str]:
    """Name (`recipes/masked_lm_small.yaml`) to first comment line of each configuration."""
    root = config_root()
    found = {}
    for path in sorted(root.rglob("*.yaml")):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        found[path.relative_to(root).as_posix()] = first.removeprefix("#").strip()
    return found


def resolve_config(name: str) -> str:
    """`name` if there is such a file, else the configuration of that name that comes with the project."""
    shipped = config_root() / name
    return str(shipped) if not Path(name).exists() and shipped.is_file() else name


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `zoo list`."""
    parser = commands.add_parser("list", help="list variants, configs and benchmark tasks")
    parser.add_argument("what", nargs="?", choices=("variants", "configs", "tasks", "all"), default="all")
    parser.set_defaults(handler=_list)


def _list(options: argparse.Namespace) -> int:
    lines: list[str] = []
    if options.what in ("variants", "all"):
        for axis, variants in scan_variants().items():
            lines.append(f"{axis}  (--{AXES[axis][1]})")
            lines += [f"  {variant.name:<24} {variant.summary}" for variant in variants]
    if options.what in ("configs", "all"):
        lines.append("configs  (--config)")
        lines += [f"  {name:<36} {text}" for name, text in shipped_configs().items()]
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")
    if options.what in ("tasks", "all"):
        from bench.commands.tasks import list_tasks

        return list_tasks(options)
    return 0
