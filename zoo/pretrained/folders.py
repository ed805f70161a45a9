"""Where pretrained models lie, and what is in their files."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from zoo.contracts import JsonDict

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
# What sentence-transformers calls the prompt of the texts that are found.
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
_HUB_FILES = ("*.json", "*/*.json")


@dataclass(frozen=True)
class Folder:
    """The folder of a transformer.

    Args:
        path: it holds config.json.
        max_length: longest text that a sentence-transformers folder around it allows, in tokens.
        prompts: what that folder puts before queries and before documents; null without such a folder.
    """

    path: Path
    max_length: int | None = None
    prompts: tuple[str, str] | None = None


def find_folder(name_or_path: str | Path) -> Folder:
    """The folder that holds the transformer of `name_or_path`.

    Raises:
        FileNotFoundError: if there is no such folder and no such model on the hub or in its cache.
        ValueError: if it is a sentence-transformers folder that does not begin with a transformer.
    """
    given = Path(name_or_path).expanduser()
    if given.is_file():
        raise ValueError(f"{given} is a file: name the folder that holds config.json and the weights")
    if not given.is_dir():
        if given.is_absolute() or str(name_or_path).startswith("."):
            raise FileNotFoundError(f"{given} does not exist: name a folder with config.json, or a hub model")
        given = _from_hub(str(name_or_path))
    return _transformer_of(given) if (given / "modules.json").is_file() else Folder(given)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        path = Path(snapshot_download(name, allow_patterns=[*_HUB_FILES, "*.safetensors", "*/*.safetensors"]))
        if not any(path.rglob("*.safetensors")):
            path = Path(snapshot_download(name, allow_patterns=[*_HUB_FILES, "*.bin", "*/*.bin"]))
    except Exception as error:  # the hub's own errors, and those of its transport, have no common base
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FileNotFoundError(
            f"no model at {name!r}: no such folder, and it is neither in the cache of the hub nor can it be fetched; "
            f"without a network, name a folder that holds it ({reason})"
        ) from error
    return path


def _transformer_of(folder: Path) -> Folder:
    modules = _read_json(folder / "modules.json")
    first = modules[0] if isinstance(modules, list) and modules else {}
    if not str(first.get("type", "")).endswith(".Transformer"):
        raise ValueError(f"{folder}: its first module is {first.get('type')!r}: only transformers can be read")
    inner = folder / str(first.get("path", ""))
    settings = inner / "sentence_bert_config.json"
    longest = _read_json(settings).get("max_seq_length") if settings.is_file() else None
    return Folder(inner, longest, _prompts(folder / "config_sentence_transformers.json"))


def _prompts(file: Path) -> tuple[str, str]:
    settings = _read_json(file) if file.is_file() else {}
    known = settings.get("prompts") or {}
    fallback = known.get(settings.get("default_prompt_name"))
    query, document = (
        next((known[name] for name in names if name in known), fallback) or ""
        for names in (("query",), _DOCUMENT_PROMPTS)
    )
    return query, document


def read_config(folder: Folder) -> JsonDict:
    """The content of config.json.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no JSON object.
    """
    config = _read_json(folder.path / "config.json")
    if not isinstance(config, dict):
        raise ValueError(f"{folder.path / 'config.json'} is no JSON object")
    return config


def _read_json(file: Path) -> Any:
    if not file.is_file():
        raise FileNotFoundError(f"{file.parent} has no {file.name}: name the folder of a model of transformers")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: copy it again ({error})") from error


def read_tokenizer(folder: Folder) -> tuple[str, int]:
    """The content of tokenizer.json, and one more than the largest id.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no tokenizer.
    """
    file = folder.path / "tokenizer.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder.path} has no tokenizer.json: write one with transformers, "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    text = file.read_text(encoding="utf-8")
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the Rust side raises bare Exception
        raise ValueError(f"{file} is not a tokenizer.json of the tokenizers library: {error}") from error
    return text, max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1


def read_tensors(folder: Folder) -> dict[str, Tensor]:
    """All tensors of the weights, in one file or several, on the CPU; half precision becomes float32.

    Raises:
        FileNotFoundError: if there are no weights, or one of several files is missing.
        ValueError: if a file is truncated or no such file.
    """
    for name in _WEIGHTS:
        if (folder.path / name).is_file():
            return _load(folder.path / name)
        index = folder.path / f"{name}.index.json"
        if index.is_file():
            tensors: dict[str, Tensor] = {}
            for shard in sorted(set(_read_json(index)["weight_map"].values())):
                tensors |= _load(folder.path / shard)
            return tensors
    raise FileNotFoundError(f"{folder.path} has no weights: looked for {', '.join(_WEIGHTS)} and their index files")


def _load(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: the index of the weights names it")
    try:
        if file.suffix == ".safetensors":
            loaded = load_file(file)
        else:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise ValueError(f"{file} is truncated or holds no weights: copy it again ({error})") from error
    return {name: _at_least_single(value) for name, value in loaded.items() if isinstance(value, Tensor)}


def _at_least_single(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32)) if tensor.is_floating_point() else tensor
