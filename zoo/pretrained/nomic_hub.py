"""What the models of Nomic's own code have in common: keys like those of GPT-2, and names of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from zoo.contracts import JsonDict
from zoo.pretrained.settings import choice, expect, flag, number, size
from zoo.pretrained.tensors import Tensors

# how a model that has a head names the encoder
PREFIXES = ("bert.", "nomic_bert.", "model.")

Names = Mapping[str, tuple[str, ...]]  # our module in a block -> theirs, one below the other
BLOCK: Names = {
    "attention.qkv": ("attn.Wqkv",),
    "attention.out": ("attn.out_proj",),
    "attention_norm": ("norm1",),
    "feed_forward_norm": ("norm2",),
}
GATED: Names = {"feed_forward.up": ("mlp.fc12", "mlp.fc11"), "feed_forward.down": ("mlp.fc2",)}
PLAIN: Names = {"feed_forward.up": ("mlp.fc1",), "feed_forward.down": ("mlp.fc2",)}

_FEED_FORWARDS = {"swiglu": "SwiGLU", "geglu": "GeGLU", "gelu": "GELU"}
_EXPECTED: JsonDict = {
    **dict.fromkeys(("prenorm", "parallel_block", "parallel_block_tied_norm", "use_rms_norm", "norm_mlp"), False),
    **dict.fromkeys(("causal", "add_cross_attention", "is_decoder", "alibi", "use_alibi"), False),
    **dict.fromkeys(("rotary_emb_interleaved", "rotary_head_dim", "scale_attn_by_inverse_layer_idx"), False),
    **dict.fromkeys(("rotary_emb_scale_base", "rotary_scaling_factor"), None),
    "scale_attn_weights": True,
}
# the same number for Nomic's code and for transformers; hub folders have some of both
_TWICE = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "layer_norm_epsilon": "layer_norm_eps",
}


@dataclass(frozen=True)
class Shape:
    """What a config.json says of a post-norm encoder with rotary positions.

    Args:
        layers: number of blocks.
        heads: attention heads.
        feed_forward: name of the class of its dense blocks.
        eps: of its norms.
        base: of its rotary positions.
        dropout: of embedded input and updates.
        max_length: tokens of the longest text that it saw in training.
        attention_bias: whether attention has biases.
        block_bias: whether the dense blocks have biases.
    """

    layers: int
    heads: int
    feed_forward: str
    eps: float
    base: float
    dropout: float
    max_length: int
    attention_bias: bool
    block_bias: bool

    def init_args(self, **more: JsonDict) -> JsonDict:
        """Of any encoder of ours with these norms and positions, and `more`."""
        return {
            "num_layers": self.layers,
            "num_heads": self.heads,
            **more,
            "norm": {"place": "post", "eps": self.eps, "bias": True},
            "positions": {"class_path": "RotaryPositions", "init_args": {"base": self.base}},
            "dropout": self.dropout,
            "bias": self.attention_bias,
        }

    def take_block(self, left: Tensors, ours: str, theirs: str, names: Names) -> dict[str, Tensor]:
        """The modules `names` of one block.

        Args:
            left: where they come from.
            ours: name of the block here.
            theirs: name of the block there.
            names: our module to theirs.

        Raises:
            ValueError: if one is missing.
        """
        biases = {"attention": self.attention_bias, "feed_forward": self.block_bias}
        state: dict[str, Tensor] = {}
        for name, parts in names.items():
            bias = biases.get(name.partition(".")[0], True)  # norms have one
            state |= left.take_modules(f"{ours}.{name}", [f"{theirs}.{part}" for part in parts], bias)
        return state


def shape_of(config: JsonDict) -> Shape:
    """What Nomic's own keys say.

    Raises:
        ValueError: if that has no counterpart, or keys of transformers say another thing.
    """
    expect(config, _EXPECTED)
    if (fraction := number(config, "rotary_emb_fraction", 0.0)) != 1:
        raise ValueError(f"rotary_emb_fraction {fraction} has no counterpart here: only 1.0 can be read")
    heads = size(config, "n_head")
    if config.get("num_heads_kv") is not None:
        expect(config, {"num_heads_kv": heads})
    biases = {key: flag(config, key, True) for key in ("mlp_fc1_bias", "mlp_fc2_bias")}
    if len(set(biases.values())) > 1:
        raise ValueError(f"{biases} has no counterpart here: a block has both biases or none")
    base = number(config, "rotary_emb_base", 10_000.0)
    _check_twice(config, base)
    trained = [size(config, "n_positions", 1024), size(config, "max_trained_positions", 2048)]
    return Shape(
        layers=size(config, "n_layer"),
        heads=heads,
        feed_forward=choice(config, "activation_function", "gelu_new", _FEED_FORWARDS),
        eps=number(config, "layer_norm_epsilon", 1e-5),
        base=base,
        dropout=number(config, "resid_pdrop", 0.1),
        max_length=min([places for places in trained if places > 0], default=2048),
        attention_bias=flag(config, "qkv_proj_bias", True),
        block_bias=biases["mlp_fc1_bias"],
    )


def take_input(left: Tensors, norm: str) -> tuple[Tensor, dict[str, Tensor]]:
    """The rows of the tokens with the row of token type 0 added to each, and the norm of the input.

    Raises:
        ValueError: if a tensor is missing.
    """
    rows = left.take("embeddings.word_embeddings.weight")
    types = "embeddings.token_type_embeddings.weight"
    return rows + left.take(types)[0] if types in left else rows, left.take_modules("input_norm", [norm], bias=True)


def _check_twice(config: JsonDict, base: float) -> None:
    """A folder that another program wrote again may have its defaults beside the numbers of the model."""
    pairs = [(a, config[a], b, config[b]) for a, b in _TWICE.items() if None not in (config.get(a), config.get(b))]
    parameters = config.get("rope_parameters")
    if isinstance(parameters, dict) and "rope_theta" in parameters:
        pairs.append(("rotary_emb_base", base, "rope_theta", parameters["rope_theta"]))
    for first, one, second, other in pairs:
        if one != other:
            raise ValueError(f"{first} {one} and {second} {other} contradict each other: remove the wrong one")
