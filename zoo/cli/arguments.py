"""The words of a training command made ready for the parser: which configuration files are meant, and are they YAML."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import yaml

from zoo.cli.listing import resolve_config
from zoo.cli.parser import ConfigError
from zoo.run_folder import CONFIG

_CONFIG_OPTIONS = ("-c", "--config")


def with_run_config(arguments: Sequence[str]) -> list[str]:
    """Put the run's own configuration in front where a command names a run and no configuration; find shipped ones.

    `zoo test --run_dir RUN` means `zoo test --config RUN/config.yaml --run_dir RUN`, and so does a checkpoint in it.
    """
    words = [
        w
        for a in arguments
        for w in (a.split("=", 1) if a.startswith(("--config=", "--run_dir=", "--ckpt_path=")) else [a])
    ]
    for option, value in enumerate(words[1:]):
        if words[option] in _CONFIG_OPTIONS:
            words[option + 1] = resolve_config(value)
            _check_yaml(Path(words[option + 1]))
    if any(word in (*_CONFIG_OPTIONS, "--model") for word in words):
        return words
    values = dict(itertools.pairwise(words))
    resuming = words[0] != "fit" or "--ckpt_path" in values
    checkpoint_file = Path(values.get("--ckpt_path", ""))
    folders = [Path(values["--run_dir"])] if "--run_dir" in values else [checkpoint_file.parent.parent]
    for folder in folders:
        if resuming and (folder / CONFIG).is_file():
            return [words[0], "--config", str(folder / CONFIG), *words[1:]]
    if words[0] != "fit" and not {"--model", "--help", "-h"} & set(words):
        raise ConfigError(_no_run(words[0], values))
    return words


def _no_run(command: str, values: dict[str, str]) -> str:
    if folder := values.get("--run_dir"):
        return f"{folder} holds no {CONFIG}: name the folder of a run with --run_dir"
    if file := values.get("--ckpt_path"):
        return f"{file} lies in no run folder: name its configuration too, with --config FILE"
    return f"zoo {command} scores a trained model: give --run_dir RUN or --ckpt_path FILE"


def _check_yaml(file: Path) -> None:
    """Name the file that is no YAML; the parser behind would name a line of an unknown one."""
    if not file.is_file():
        return
    try:
        yaml.safe_load(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 at byte {error.start}: save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is no valid YAML: {' '.join(str(error).split())}") from error
