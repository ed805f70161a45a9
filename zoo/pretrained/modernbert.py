"""ModernBERT in the terms of `DenseEncoder`, in both directions."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from zoo.contracts import JsonDict
from zoo.pretrained.body import Body
from zoo.pretrained.settings import choice, expect, flag, number, rotary_base, size
from zoo.pretrained.tensors import Tensors

MODEL_TYPES = ("modernbert",)

# how a model that has a head names the encoder
_PREFIXES = ("model.",)
_FULL, _SLIDING = "full_attention", "sliding_attention"

# our name in a block -> theirs in a layer
BLOCK_NAMES = {
    "attention_norm": "attn_norm",
    "attention.qkv": "attn.Wqkv",
    "attention.out": "attn.Wo",
    "feed_forward_norm": "mlp_norm",
    "feed_forward.up": "mlp.Wi",
    "feed_forward.down": "mlp.Wo",
}


def read(config: JsonDict, tensors: Mapping[str, Tensor]) -> Body:
    """The encoder of a ModernBERT: pre-norm without the first one, local attention, a gate.

    Keys of transformers 4.48 and of version 5 are read. Dropout is that of the embedded input.

    Args:
        config: content of config.json.
        tensors: weights by name.

    Raises:
        ValueError: if the model computes something else, or a tensor is missing or left over.
    """
    expect(config, {"is_decoder": False, "rope_scaling": None})
    layers = size(config, "num_hidden_layers")
    norm, attention, block = (flag(config, f"{part}_bias", False) for part in ("norm", "attention", "mlp"))
    biases = {"attention": attention, "feed_forward": block}
    left = Tensors(tensors, _PREFIXES)
    rows = left.take("embeddings.tok_embeddings.weight")
    state = left.take_modules("input_norm", ["embeddings.norm"], norm)
    state |= left.take_modules("output_norm", ["final_norm"], norm)
    for layer in range(layers):
        for name, other in BLOCK_NAMES.items():
            if (layer, name) == (0, "attention_norm"):
                continue
            bias = biases.get(name.partition(".")[0], norm)
            state |= left.take_modules(f"layers.{layer}.{name}", [f"layers.{layer}.{other}"], bias)
    left.check_empty()
    units = {"dim": size(config, "intermediate_size"), "bias": block}
    gate = choice(config, "hidden_activation", "gelu", {"gelu": "GeGLU", "silu": "SwiGLU"})
    init_args = {
        "num_layers": layers,
        "num_heads": size(config, "num_attention_heads"),
        "feed_forward": {"class_path": gate, "init_args": units},
        "norm": {"place": "pre", "eps": number(config, "norm_eps", 1e-5), "first": False, "bias": norm},
        "positions": _positions(config, layers),
        "dropout": number(config, "embedding_dropout", 0.0),
        "bias": attention,
    }
    encoder = {"class_path": "DenseEncoder", "init_args": init_args}
    return Body(encoder, state, rows, size(config, "max_position_embeddings", 8192))


def _positions(config: JsonDict, layers: int) -> JsonDict:
    bases, every = _bases(config), _every(config, layers)
    if every == 1:
        return {"class_path": "RotaryPositions", "init_args": {"base": bases[0]}}
    window = size(config, "local_attention", 128) // 2
    expect(config, {"sliding_window": window})
    if window < 1:
        raise ValueError(f"local_attention {config['local_attention']} has no counterpart here: only 2 and more")
    init_args = {"base": bases[0], "window": window, "every": every, "local_base": bases[1]}
    return {"class_path": "LocalRotaryPositions", "init_args": init_args}


def _bases(config: JsonDict) -> tuple[float, float]:
    """Bases of the layers that see the whole text, and of the others."""
    parameters = config.get("rope_parameters") or {}
    if unknown := parameters.keys() - {_FULL, _SLIDING}:
        raise ValueError(f"rope_parameters has {min(unknown)!r}: only {_FULL!r} and {_SLIDING!r} can be read")
    whole = rotary_base(parameters.get(_FULL), number(config, "global_rope_theta", 160_000.0))
    # null stands for the other one in version 4.48
    null = "local_rope_theta" in config and config["local_rope_theta"] is None
    near = whole if null else number(config, "local_rope_theta", 10_000.0)
    return whole, rotary_base(parameters.get(_SLIDING), near)


def _every(config: JsonDict, layers: int) -> int:
    """Distance of the layers that see the whole text; 1 if all do."""
    kinds = config.get("layer_types")
    if kinds is None:
        every = size(config, "global_attn_every_n_layers", 3)
        if every < 1:
            raise ValueError(f"global_attn_every_n_layers {every} has no counterpart here: only 1 and more")
        return 1 if layers == 1 else every
    whole = [layer for layer, kind in enumerate(kinds) if kind == _FULL]
    every = whole[1] if len(whole) > 1 else len(kinds)
    if len(kinds) != layers or kinds != [_SLIDING if layer % every else _FULL for layer in range(layers)]:
        raise ValueError(
            f"layer_types {kinds} has no counterpart here: only {layers} of which layer 0 and every n-th after it are "
            f"{_FULL!r} and the others {_SLIDING!r}"
        )
    return every
