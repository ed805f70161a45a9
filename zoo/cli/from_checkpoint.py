"""Arguments of `zoo fit` that go on from a trained model: its configuration, and its weights to start from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.contracts import JsonDict

# Default of the data classes.
_MAX_LENGTH = 128


def fit_arguments(
    checkpoint: str,
    words: Sequence[str],
    folder: Path,
    change: Callable[[JsonDict], None] | None = None,
) -> list[str]:
    """The arguments of `zoo fit` that train a model like CHECKPOINT, from its weights.

    Args:
        checkpoint: run folder, `.ckpt` file, or folder or hub name of a Hugging Face encoder.
        words: options of `zoo fit`, which go over what the model says.
        folder: where the configuration to start from is written.
        change: changes the configuration in place.

    Raises:
        ConfigError: if CHECKPOINT comes without texts, and none are named.
        FileNotFoundError: if there is no such model.
        ValueError: if the model cannot be gone on from.
    """
    import yaml

    from zoo.cli.arguments import with_run_config
    from zoo.cli.replaced import given_keys
    from zoo.donor import is_foreign

    words = with_run_config(["fit", *words])[1:]
    given = given_keys(words)
    config, defaults = _of_encoder(checkpoint, words, given) if is_foreign(checkpoint) else _of_run(checkpoint, words)
    if change is not None:
        change(config)
    config["model"]["init_args"]["init_from"] = checkpoint
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    added = [f"--{key}={value}" for key, value in defaults.items() if key not in given]
    return ["fit", "--config", str(file), *words, *added]


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


def _of_encoder(path: str, words: Sequence[str], given: set[str]) -> tuple[JsonDict, dict[str, Any]]:
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
    if found.prompts is not None and _objective(words) == "Contrastive":
        defaults |= _as_before(found.prompts, found.max_length, given)
    return {"model": {"class_path": "MaskedLM", "init_args": init_args}}, defaults


def _tokenizer(path: str) -> dict[str, Any]:
    return {"data.tokenizer": "PretrainedTokenizer", "data.tokenizer.name_or_path": path}


def _as_before(prompts: tuple[str, str], max_length: int, given: set[str]) -> dict[str, Any]:
    """Options under which a sentence encoder goes on reading texts as it has learned to; said where they hold."""
    keys = ("model.prefixes.query_prefix", "model.prefixes.document_prefix")
    if not given.intersection(keys):
        query, document = prompts
        named = f"prompts {query!r} for queries and {document!r} for documents" if any(prompts) else "no prompts"
        sys.stderr.write(
            f"zoo: the encoder names {named}; set others by --model.prefixes.query_prefix and "
            "--model.prefixes.document_prefix\n"
        )
    return {**dict(zip(keys, prompts, strict=True)), "data.max_length": max_length}


def _objective(words: Sequence[str]) -> str:
    """Class of the objective that `words` ask for, in files or on the command line; empty if they name none."""
    import yaml

    found = ""
    for place, word in enumerate(words):
        name, equals, rest = word.partition("=")
        value = rest if equals else next(iter(words[place + 1 :]), "")
        if name in ("-c", "--config"):
            content = yaml.safe_load(Path(value).read_text(encoding="utf-8"))
            model = content.get("model") if isinstance(content, dict) else None
        elif name in ("--model", "--model.class_path"):
            model = yaml.safe_load(value)
        else:
            continue
        found = (model.get("class_path") if isinstance(model, dict) else model) or found
    return str(found).rpartition(".")[2]


def _last(words: Sequence[str], option: str) -> str | None:
    """The last value of an option."""
    value = None
    for place, word in enumerate(words):
        name, equals, rest = word.partition("=")
        if name == option:
            value = rest if equals else next(iter(words[place + 1 :]), None)
    return value
