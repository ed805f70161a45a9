"""`zoo adapt CHECKPOINT`: `zoo fit` from a trained model's configuration and weights, with another vocabulary table."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.contracts import JsonDict

# Default of the data classes.
_MAX_LENGTH = 128
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
    import yaml

    from zoo.cli.arguments import with_run_config
    from zoo.cli.parser import ConfigError
    from zoo.cli.replaced import given_keys
    from zoo.donor import is_foreign

    if not arguments or arguments[0].startswith("-"):
        raise ConfigError("name the trained model first: zoo adapt CHECKPOINT --embedding SubspaceEmbedding")
    checkpoint = arguments[0]
    words = with_run_config(["fit", *(_long(word) for word in arguments[1:])])[1:]
    given = given_keys(words)
    if not given - {"run_dir"}:
        raise ConfigError(
            f"nothing is to change in {checkpoint}: add --embedding SubspaceEmbedding, or another option of `zoo fit`"
        )
    config, defaults = _of_encoder(checkpoint, given) if is_foreign(checkpoint) else _of_run(checkpoint, words)
    config["model"]["init_args"]["init_from"] = checkpoint
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    added = [f"--{key}={value}" for key, value in defaults.items() if key not in given]
    return ["fit", "--config", str(file), *words, *added]


def _long(word: str) -> str:
    """`--embedding` and what lies below it with its full name."""
    name = word.partition("=")[0]
    return f"--model.{word.removeprefix('--')}" if name == "--embedding" or name.startswith("--embedding.") else word


def _of_run(path: str, words: Sequence[str]) -> tuple[JsonDict, dict[str, Any]]:
    """Configuration of a run of ours, and options that hold where they are not given."""
    from zoo.cli.train import unsettled
    from zoo.run_folder import TOKENIZER, experiment_settings
    from zoo.weights import find, read

    if not Path(path).exists():
        raise FileNotFoundError(
            f"{path} does not exist: give a run folder, a .ckpt file, or the folder or hub name of an encoder"
        )
    whole = read(path)["zoo"]["run"].get("config")
    if whole is None:
        raise ValueError(
            f"{path} was saved from Python and names no configuration: train it with `zoo fit`, or load it with "
            "zoo.donor.take_over"
        )
    config = experiment_settings(whole)
    config["trainer"] = unsettled(config.get("trainer") or {})
    defaults: dict[str, Any] = {}
    if (data := _last(words, "--data")) is not None:
        tokenizer = find(path).resolve().parent.parent / TOKENIZER
        if tokenizer.is_file():  # other texts would make another tokenizer
            defaults = _tokenizer(str(tokenizer))
        if data.rpartition(".")[2] != config["data"]["class_path"].rpartition(".")[2]:
            # where its texts lie means nothing to another class
            before = config.pop("data")["init_args"]
            defaults |= {f"data.{key}": before[key] for key in ("max_length",) if key in before}
    return config, defaults


def _of_encoder(path: str, given: set[str]) -> tuple[JsonDict, dict[str, Any]]:
    """Configuration around a Hugging Face encoder, and options that hold where they are not given."""
    from zoo.cli.parser import ConfigError
    from zoo.pretrained import read_pretrained
    from zoo.pretrained.folders import find_folder

    if "data" not in given:
        raise ConfigError(f"{path} comes without texts to train on: add --data PydocCorpus, or another data class")
    found = read_pretrained(path)
    init_args = {"width": found.width, "embedding": {"class_path": "TiedEmbedding"}, "encoder": found.encoder}
    tokenizer = str(find_folder(path).path) if Path(path).is_dir() else path
    defaults = _tokenizer(tokenizer)
    if found.max_length < _MAX_LENGTH:
        defaults["data.max_length"] = found.max_length
    return {"model": {"class_path": "MaskedLM", "init_args": init_args}}, defaults


def _tokenizer(path: str) -> dict[str, Any]:
    return {"data.tokenizer": "PretrainedTokenizer", "data.tokenizer.name_or_path": path}


def _last(words: Sequence[str], option: str) -> str | None:
    """The last value of an option."""
    value = None
    for place, word in enumerate(words):
        name, equals, rest = word.partition("=")
        if name == option:
            value = rest if equals else next(iter(words[place + 1 :]), None)
    return value


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
