"""One door for every kind of pretrained encoder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from zoo.contracts import JsonDict
from zoo.pretrained import bert, modernbert, nomic_bert
from zoo.pretrained.folders import Folder, find_folder, read_config, read_tensors, read_tokenizer

# model_type of a config.json -> the module that maps its names and numbers to ours
_FAMILIES: dict[str, ModuleType] = {
    model_type: family for family in (bert, nomic_bert, modernbert) for model_type in family.MODEL_TYPES
}


@dataclass(frozen=True)
class Pretrained:
    """An encoder, its token vectors and its tokenizer.

    Args:
        width: D.
        encoder: class_path and init_args of the encoder, as a configuration has them.
        encoder_state: weights that fit the encoder built from them, float32 unless the file has float64.
        rows: the vector of each token that the tokenizer can give, (V, D).
        tokenizer: JSON of the tokenizer, as the file has it.
        max_length: longest text in tokens that it was made for, special tokens included.
        prompts: what a sentence-transformers folder puts before queries and before documents, empty where it names
            nothing; null if it is no such folder.
    """

    width: int
    encoder: JsonDict
    encoder_state: dict[str, Tensor]
    rows: Tensor
    tokenizer: str
    max_length: int
    prompts: tuple[str, str] | None = None

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over all of it, hexadecimal."""
        facts = [self.width, self.encoder, self.max_length]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        digest.update(self.tokenizer.encode())
        for name, tensor in [*sorted(self.encoder_state.items()), ("rows", self.rows)]:
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def read_pretrained(name_or_path: str | Path) -> Pretrained:
    """Read a pretrained encoder into the terms of ours, so that hidden vectors stay the same.

    BERT, RoBERTa, XLM-R, NomicBERT (both layouts) and ModernBERT become a `DenseEncoder`, NomicBERT with experts a
    `MoEEncoder`.

    Only the encoder is read: poolers and heads of tasks are left out, and of a sentence-transformers folder what
    follows its transformer. All tokens are of type 0. Dropout of attention probabilities has no counterpart here.

    Args:
        name_or_path: folder with config.json, weights and tokenizer.json, a sentence-transformers folder whose first
            module is such a folder, or a name on the hub (read from the local cache where there is no network).

    Raises:
        FileNotFoundError: if a file, or a hub model of this name, is missing.
        ValueError: if the model is of another kind, or its files do not fit each other.
    """
    folder = find_folder(name_or_path)
    config = read_config(folder)
    family = _FAMILIES.get(str(config.get("model_type")))
    if family is None:
        raise ValueError(
            f"{folder.path} is of model_type {config.get('model_type')!r}: only {', '.join(_FAMILIES)} can be read"
        )
    try:
        body = family.read(config, read_tensors(folder))
    except ValueError as error:
        raise ValueError(f"{folder.path}: {error}") from error
    tokenizer, size = read_tokenizer(folder)
    return Pretrained(
        width=body.rows.shape[1],
        encoder=body.encoder,
        encoder_state=body.state,
        rows=_fitting_rows(body.rows, size, folder),
        tokenizer=tokenizer,
        max_length=min(body.max_length, folder.max_length or body.max_length),
        prompts=folder.prompts,
    )


def _fitting_rows(rows: Tensor, size: int, folder: Folder) -> Tensor:
    """Without the rows behind the last token, which pad a table to a round size and stand for nothing."""
    if size > len(rows):
        raise ValueError(
            f"{folder.path}: the tokenizer has {size} tokens and the model rows for {len(rows)}: "
            "one of them is of another model"
        )
    return rows[:size].clone()
