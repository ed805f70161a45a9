"""BERT, RoBERTa and XLM-R in the terms of `DenseEncoder`, in both directions."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from zoo.contracts import JsonDict
from zoo.pretrained.body import Body

MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "camembert")

# how the three name the encoder in a model that has a head
_PREFIXES = ("bert.", "roberta.")
# of a model with a head, whatever it is called; nothing of it is needed for hidden vectors
_UNUSED = re.compile(r"pooler\.|embeddings\.(position_ids|token_type_ids)$")

# our name in a block -> theirs in a layer
BLOCK_NAMES = {
    "attention.out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.up": "intermediate.dense",
    "feed_forward.down": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
PROJECTIONS = ("query", "key", "value")


def read(config: JsonDict, tensors: Mapping[str, Tensor]) -> Body:
    """The encoder of a BERT-like model: post-norm, learned positions, GELU, biases everywhere.

    The vector of token type 0 is added to every place. Places of RoBERTa and XLM-R begin behind the id of the pad
    token.

    Args:
        config: content of config.json.
        tensors: weights by name.

    Raises:
        ValueError: if the model computes something else, or a tensor is missing or left over.
    """
    _check(config)
    left = _of_the_encoder(tensors)
    places = _take(left, "embeddings.position_embeddings.weight")
    first = 0 if config["model_type"] == "bert" else _size(config, "pad_token_id", 1) + 1
    positions = places[first:] + _take(left, "embeddings.token_type_embeddings.weight")[0]
    rows = _take(left, "embeddings.word_embeddings.weight")
    layers = _size(config, "num_hidden_layers")
    state = {"positions.weight": positions}
    for kind in ("weight", "bias"):
        state[f"input_norm.{kind}"] = _take(left, f"embeddings.LayerNorm.{kind}")
        for layer in range(layers):
            ours, theirs = f"layers.{layer}", f"encoder.layer.{layer}"
            parts = [_take(left, f"{theirs}.attention.self.{name}.{kind}") for name in PROJECTIONS]
            state[f"{ours}.attention.qkv.{kind}"] = torch.cat(parts)
            for name, other in BLOCK_NAMES.items():
                state[f"{ours}.{name}.{kind}"] = _take(left, f"{theirs}.{other}.{kind}")
    if left:
        raise ValueError(f"tensor {min(left)} has no place in a model of this config.json")
    return Body(_encoder(config, layers, len(positions)), state, rows, len(positions))


def _encoder(config: JsonDict, layers: int, max_length: int) -> JsonDict:
    gelu = {"dim": _size(config, "intermediate_size"), "bias": True}
    init_args = {
        "num_layers": layers,
        "num_heads": _size(config, "num_attention_heads"),
        "feed_forward": {"class_path": "GELU", "init_args": gelu},
        "norm": {"place": "post", "eps": _fraction(config, "layer_norm_eps", 1e-12)},
        "positions": {"class_path": "LearnedPositions", "init_args": {"max_length": max_length}},
        "dropout": _fraction(config, "hidden_dropout_prob", 0.1),
        "bias": True,
    }
    return {"class_path": "DenseEncoder", "init_args": init_args}


def _check(config: JsonDict) -> None:
    expected = {"position_embedding_type": "absolute", "hidden_act": "gelu"}
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise ValueError(f"{key} {config[key]!r} has no counterpart here: only {value!r} can be read")
    for key in ("is_decoder", "add_cross_attention"):
        if config.get(key):
            raise ValueError(f"{key} is set: decoders cannot be read")


def _size(config: JsonDict, key: str, default: int | None = None) -> int:
    value = config.get(key, default)
    if not isinstance(value, int):
        raise ValueError(f"config.json says {value!r} of {key}, which must be a whole number")
    return value


def _fraction(config: JsonDict, key: str, default: float) -> float:
    value = config.get(key, default)
    if not isinstance(value, int | float):
        raise ValueError(f"config.json says {value!r} of {key}, which must be a number")
    return float(value)


def _of_the_encoder(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the encoder by its own names; what lies outside it is a head."""
    prefix = next((p for p in _PREFIXES if any(name.startswith(p) for name in tensors)), "")
    inner = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    return {_modern(name): tensor for name, tensor in inner.items() if not _UNUSED.match(name)}


def _modern(name: str) -> str:
    """Weights that came from TensorFlow call the two vectors of a norm gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _take(left: dict[str, Tensor], name: str) -> Tensor:
    if name not in left:
        raise ValueError(f"tensor {name} is missing")
    return left.pop(name)
