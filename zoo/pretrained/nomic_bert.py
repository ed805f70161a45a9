"""NomicBERT in the terms of `DenseEncoder`: the layout of Nomic's own code, and that of transformers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from zoo.contracts import JsonDict
from zoo.pretrained import nomic_hub, nomic_moe
from zoo.pretrained.body import Body
from zoo.pretrained.nomic_hub import Names, Shape
from zoo.pretrained.settings import choice, expect, number, rotary_base, size
from zoo.pretrained.tensors import Tensors

MODEL_TYPES = ("nomic_bert",)

_NATIVE: Names = {
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.out": ("self_attn.o_proj",),
    "attention_norm": ("post_attention_layernorm",),
    "feed_forward.up": ("mlp.gate_proj", "mlp.up_proj"),
    "feed_forward.down": ("mlp.down_proj",),
    "feed_forward_norm": ("post_mlp_layernorm",),
}


def read(config: JsonDict, tensors: Mapping[str, Tensor]) -> Body:
    """The encoder of a NomicBERT: post-norm, rotary positions.

    The vector of token type 0 is added to the row of every token: rotary positions have no table to put it in. A tied
    output adds its product with the hidden vector to all scores alike, which changes no probability.

    Of `config` the keys of Nomic's code count where it has them (`n_embd`), else those of transformers. Names of
    tensors follow either, whichever keys there are: transformers can write both.

    Args:
        config: content of config.json.
        tensors: weights by name.

    Raises:
        ValueError: if the model computes something else, or a tensor is missing or left over.
    """
    left = Tensors(tensors, nomic_hub.PREFIXES)
    if nomic_moe.has_experts(config):
        return nomic_moe.read(config, left)
    shape = nomic_hub.shape_of(config) if "n_embd" in config else _shape_of(config)
    native = "embeddings.LayerNorm.weight" in left
    rows, state = nomic_hub.take_input(left, "embeddings.LayerNorm" if native else "emb_ln")
    names = _NATIVE if native else _hub_names(shape)
    for layer in range(shape.layers):
        theirs = f"layers.{layer}" if native else f"encoder.layers.{layer}"
        state |= shape.take_block(left, f"layers.{layer}", theirs, names)
    left.check_empty()
    hidden = state["layers.0.feed_forward.down.weight"].shape[1]  # Nomic's code rounds what the configuration says
    block = {"class_path": shape.feed_forward, "init_args": {"dim": hidden, "bias": shape.block_bias}}
    encoder = {"class_path": "DenseEncoder", "init_args": shape.init_args(feed_forward=block)}
    return Body(encoder, state, rows, shape.max_length)


def _hub_names(shape: Shape) -> Names:
    return {**nomic_hub.BLOCK, **(nomic_hub.PLAIN if shape.feed_forward == "GELU" else nomic_hub.GATED)}


def _shape_of(config: JsonDict) -> Shape:
    """What the keys of transformers say."""
    heads = size(config, "num_attention_heads")
    expect(config, {"is_decoder": False, "add_cross_attention": False, "rope_scaling": None})
    if config.get("head_dim") is not None:
        expect(config, {"head_dim": size(config, "hidden_size") // heads})
    return Shape(
        layers=size(config, "num_hidden_layers"),
        heads=heads,
        feed_forward=choice(config, "hidden_act", "silu", {"silu": "SwiGLU", "gelu": "GeGLU"}),
        eps=number(config, "layer_norm_eps", 1e-12),
        base=rotary_base(config.get("rope_parameters"), number(config, "rope_theta", 1000.0)),
        dropout=number(config, "hidden_dropout_prob", 0.0),
        max_length=size(config, "max_position_embeddings", 2048),
        attention_bias=False,
        block_bias=False,
    )
