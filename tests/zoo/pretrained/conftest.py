"""Folders of tiny random models, written by transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from torch import nn

from zoo.contracts import Encoder
from zoo.pretrained import Pretrained

SPECIAL = {
    "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    "xlm-roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
}
WORDS = [first + second for first in "bcdfgh" for second in "aeio"]
SIZES = {
    "vocab_size": 32,
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 42,
    "hidden_dropout_prob": 0.25,
}


def tokenizer_of(kind: str) -> Tokenizer:
    """Words and special tokens, 29 in all: the models have rows for 32."""
    names = SPECIAL[kind]
    vocab = {token: place for place, token in enumerate([*names, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=names[1] if kind == "bert" else names[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    return tokenizer


@pytest.fixture(scope="session")
def write_model() -> Callable[..., Any]:
    """`write_model(folder, kind, head=False, dtype=float32, **config)`: the model that was written, all random."""
    import transformers

    def write(folder: Path, kind: str, head: bool = False, dtype: torch.dtype = torch.float32, **config: Any) -> Any:
        settings: Any = transformers.AutoConfig.for_model(kind, **{**SIZES, **config})
        auto = transformers.AutoModelForMaskedLM if head else transformers.AutoModel
        torch.manual_seed(0)
        model: Any = auto.from_config(settings)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.4)
        model.to(dtype).eval().save_pretrained(folder, **({"max_shard_size": "12KB"} if head else {}))
        tokenizer_of(kind).save(str(folder / "tokenizer.json"))
        return model.base_model

    return write


@pytest.fixture(scope="session")
def build_encoder() -> Callable[[Pretrained], Encoder]:
    """The encoder that a configuration with the same values builds, with the weights."""
    import zoo.variants  # noqa: F401  (short names of classes)

    def build(pretrained: Pretrained) -> Encoder:
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--encoder", type=Callable[[int], Encoder])
        factory = parser.instantiate(parser.parse_object({"encoder": pretrained.encoder})).encoder
        encoder: Encoder = factory(pretrained.width).to(pretrained.rows.dtype)
        encoder.load_state_dict(pretrained.encoder_state)
        return encoder.eval()

    return build
