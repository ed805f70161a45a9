"""BERT, RoBERTa and XLM-R in the terms of `DenseEncoder`, in both directions."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from zoo.contracts import JsonDict
from zoo.pretrained.body import Body
from zoo.pretrained.settings import expect, number, size
from zoo.pretrained.tensors import Tensors

MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "camembert")

# how the three name the encoder in a model that has a head
_PREFIXES = ("bert.", "roberta.")

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
    left = Tensors(tensors, _PREFIXES)
    places = left.take("embeddings.position_embeddings.weight")
    first = 0 if config["model_type"] == "bert" else size(config, "pad_token_id", 1) + 1
    positions = places[first:] + left.take("embeddings.token_type_embeddings.weight")[0]
    rows = left.take("embeddings.word_embeddings.weight")
    layers = size(config, "num_hidden_layers")
    state = {"positions.weight": positions, **left.take_modules("input_norm", ["embeddings.LayerNorm"], bias=True)}
    for layer in range(layers):
        ours, theirs = f"layers.{layer}", f"encoder.layer.{layer}"
        parts = [f"{theirs}.attention.self.{name}" for name in PROJECTIONS]
        state |= left.take_modules(f"{ours}.attention.qkv", parts, bias=True)
        for name, other in BLOCK_NAMES.items():
            state |= left.take_modules(f"{ours}.{name}", [f"{theirs}.{other}"], bias=True)
    left.check_empty()
    return Body(_encoder(config, layers, len(positions)), state, rows, len(positions))


def _encoder(config: JsonDict, layers: int, max_length: int) -> JsonDict:
    gelu = {"dim": size(config, "intermediate_size"), "bias": True}
    init_args = {
        "num_layers": layers,
        "num_heads": size(config, "num_attention_heads"),
        "feed_forward": {"class_path": "GELU", "init_args": gelu},
        "norm": {"place": "post", "eps": number(config, "layer_norm_eps", 1e-12)},
        "positions": {"class_path": "LearnedPositions", "init_args": {"max_length": max_length}},
        "dropout": number(config, "hidden_dropout_prob", 0.1),
        "bias": True,
    }
    return {"class_path": "DenseEncoder", "init_args": init_args}


def _check(config: JsonDict) -> None:
    expect(config, {"position_embedding_type": "absolute", "hidden_act": "gelu"})
    for key in ("is_decoder", "add_cross_attention"):
        if config.get(key):
            raise ValueError(f"{key} is set: decoders cannot be read")
