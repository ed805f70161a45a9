"""`zoo upcycle CHECKPOINT`: `zoo fit` from a trained dense model, some of whose blocks become mixtures of experts."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.contracts import JsonDict

HELP = "turn blocks of a trained dense model into mixtures of experts and go on training"

_MIXTURE = "model.encoder.init_args.mixture"
# what a DenseEncoder and a MoEEncoder are both told
_SHARED = ("num_layers", "num_heads", "norm", "positions", "dropout", "bias")
_SHORT = {"--experts": "num_experts", "--top_k": "top_k", "--layers": "layers", "--gates": "gates"}

_DESCRIPTION = """\
Turn feed-forward blocks of a trained dense model into mixtures of experts and go on training.

It is `zoo fit` with the configuration of CHECKPOINT, a MoEEncoder of the same sizes in place of its DenseEncoder,
and its weights to start from. Every expert begins as a copy of the block in whose place it stands, biases included,
and gates add up to 1, so the model begins as what it was. The memory that training needs is told before the first
step."""

_EPILOG = """\
every option of `zoo fit` may follow and goes over what CHECKPOINT says (see `zoo fit --help`):
  zoo upcycle runs/dense --experts 8 --run_dir runs/moe
  zoo upcycle runs/dense --experts 8 --top_k 1 --layers all --trainer.max_steps 5000
  zoo upcycle nomic-ai/nomic-embed-text-v1.5 --experts 8 --data PydocCorpus
"""


def upcycle(arguments: Sequence[str]) -> int:
    """Run `zoo upcycle`.

    Args:
        arguments: what follows the command.

    Raises:
        ConfigError: if the options cannot be used.
        FileNotFoundError: if there is no such model.
        ValueError: if the model cannot be upcycled.
    """
    if {"-h", "--help"} & set(arguments):
        _parser().print_help()
        return 0
    from zoo.cli.train import train

    with tempfile.TemporaryDirectory(prefix="zoo-upcycle-") as folder:
        return train(fit_arguments(arguments, Path(folder)))


def fit_arguments(arguments: Sequence[str], folder: Path) -> list[str]:
    """The arguments of `zoo fit` that mean the same.

    Args:
        arguments: what follows `zoo upcycle`.
        folder: where the configuration to start from is written.

    Raises:
        ConfigError: if CHECKPOINT or the number of experts is missing.
        FileNotFoundError: if there is no such model.
        ValueError: if the model cannot be upcycled.
    """
    from zoo.cli import from_checkpoint
    from zoo.cli.parser import ConfigError
    from zoo.cli.replaced import given_keys

    if not arguments or arguments[0].startswith("-"):
        raise ConfigError("name the trained model first: zoo upcycle CHECKPOINT --experts 8")
    checkpoint, *options = arguments
    words = [_long(word) for word in options]
    if not {"model.encoder.mixture", "model.encoder.mixture.num_experts"} & given_keys(["fit", *words]):
        raise ConfigError(f"say how many experts each mixture gets: zoo upcycle {checkpoint} --experts 8")
    return from_checkpoint.fit_arguments(checkpoint, words, folder, lambda config: _upcycle(config, checkpoint))


def _upcycle(config: JsonDict, checkpoint: str) -> None:
    """Put a MoEEncoder of the same sizes in the place of the dense encoder, and foretell its memory."""
    init_args = config["model"]["init_args"]
    dense = init_args["encoder"]
    name = dense["class_path"].rpartition(".")[2]
    if name != "DenseEncoder":
        raise ValueError(f"{checkpoint} has a {name}: only a DenseEncoder has blocks that experts can be copies of")
    before = dense.get("init_args") or {}
    mixture = {"gates": "straight_through"}
    if "feed_forward" in before:
        mixture["feed_forward"] = before["feed_forward"]
    shared = {key: before[key] for key in _SHARED if key in before}
    init_args["encoder"] = {"class_path": "MoEEncoder", "init_args": {**shared, "mixture": mixture}}
    trainer = config.setdefault("trainer", {})
    trainer["callbacks"] = [*(trainer.get("callbacks") or []), {"class_path": "MemoryForecast"}]


def _long(word: str) -> str:
    """A short option with its full name."""
    name, equals, value = word.partition("=")
    return f"--{_MIXTURE}.{_SHORT[name]}{equals}{value}" if name in _SHORT else word


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zoo upcycle",
        usage="zoo upcycle CHECKPOINT --experts E [--top_k K] [--layers WHICH] [any option of zoo fit]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "CHECKPOINT",
        help="run folder or .ckpt file, or a Hugging Face or sentence-transformers encoder: folder or hub name; "
        "such an encoder needs --data",
    )
    parser.add_argument("--experts", metavar="E", help="experts of each mixture")
    parser.add_argument("--top_k", metavar="K", help="experts a token; default: 2")
    parser.add_argument("--layers", metavar="WHICH", help="alternate (default), all, or a list such as [1,3,5]")
    parser.add_argument("--gates", metavar="GATES", help="straight_through (default), normalised, or raw")
    return parser
