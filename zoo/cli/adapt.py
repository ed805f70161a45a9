"""`zoo adapt CHECKPOINT`: `zoo fit` from a trained model's configuration and weights, with another vocabulary table."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

HELP = "swap the vocabulary table of a trained model and go on training"

_DESCRIPTION = """\
Swap the vocabulary table of a trained model and go on training.

It is `zoo fit` with three things filled in: the configuration of CHECKPOINT (model, data, trainer), its weights to
start from, and --embedding as a short form of --model.embedding. Encoder and head are taken over, the embedding where
it stays the same; what came from CHECKPOINT and what is new is printed and recorded."""

_EPILOG = """\
every option of `zoo fit` may follow and goes over what CHECKPOINT says (see `zoo fit --help`):
  zoo adapt runs/base --embedding SubspaceEmbedding --embedding.num_tables 2 --embedding.codes PQCodes
  zoo adapt runs/base --embedding SubspaceEmbedding --embedding.own_rows 500 --trainer.max_steps 500 --run_dir short
  zoo adapt models/all-MiniLM-L6-v2 --data PydocCorpus --embedding SubspaceEmbedding --embedding.codes ClusterCodes

An adapted run is a run like any other: `zoo fit --run_dir RUN --ckpt_path last` resumes it, also without CHECKPOINT.
"""


def adapt(arguments: Sequence[str]) -> int:
    """Run `zoo adapt`.

    Args:
        arguments: what follows the command.

    Raises:
        ConfigError: if the options cannot be used.
        FileNotFoundError: if there is no such model.
        ValueError: if the model cannot be adapted.
    """
    if {"-h", "--help"} & set(arguments):
        _parser().print_help()
        return 0
    from zoo.cli.train import train

    with tempfile.TemporaryDirectory(prefix="zoo-adapt-") as folder:
        return train(fit_arguments(arguments, Path(folder)))


def fit_arguments(arguments: Sequence[str], folder: Path) -> list[str]:
    """The arguments of `zoo fit` that mean the same.

    Args:
        arguments: what follows `zoo adapt`.
        folder: where the configuration to start from is written.

    Raises:
        ConfigError: if CHECKPOINT is missing, or nothing would change.
        FileNotFoundError: if there is no such model.
        ValueError: if the model cannot be adapted.
    """
    from zoo.cli import from_checkpoint
    from zoo.cli.parser import ConfigError
    from zoo.cli.replaced import given_keys

    if not arguments or arguments[0].startswith("-"):
        raise ConfigError("name the trained model first: zoo adapt CHECKPOINT --embedding SubspaceEmbedding")
    checkpoint, *options = arguments
    words = [_long(word) for word in options]
    if not given_keys(["fit", *words]) - {"run_dir"}:
        raise ConfigError(
            f"nothing is to change in {checkpoint}: add --embedding SubspaceEmbedding, or another option of `zoo fit`"
        )
    return from_checkpoint.fit_arguments(checkpoint, words, folder)


def _long(word: str) -> str:
    """`--embedding` and what lies below it with its full name."""
    name = word.partition("=")[0]
    return f"--model.{word.removeprefix('--')}" if name == "--embedding" or name.startswith("--embedding.") else word


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zoo adapt",
        usage="zoo adapt CHECKPOINT [--embedding CLASS] [--embedding.OPTION VALUE ...] [any option of zoo fit]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "CHECKPOINT",
        help="run folder or .ckpt file, or a Hugging Face or sentence-transformers encoder: folder or hub name; "
        "such an encoder needs --data",
    )
    parser.add_argument(
        "--embedding", metavar="CLASS", help="the new table: SubspaceEmbedding, TiedEmbedding, FullEmbedding"
    )
    parser.add_argument(
        "--embedding.OPTION",
        metavar="VALUE",
        help="an option of that class, such as num_tables, own_rows, tied or codes; codes that learn from a trained "
        "model take CHECKPOINT",
    )
    return parser
