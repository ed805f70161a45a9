"""NomicBERT with experts, as nomic-embed-text-v2-moe, in the terms of `MoEEncoder`."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts import JsonDict
from zoo.pretrained import nomic_hub
from zoo.pretrained.body import Body
from zoo.pretrained.settings import expect, size
from zoo.pretrained.tensors import Tensors

_EXPECTED: JsonDict = {
    **dict.fromkeys(("mlp_fc1_bias", "mlp_fc2_bias"), True),
    "activation_function": "gelu",
    "expert_choice_router": False,
    "ffn_div": 1,
}


def has_experts(config: JsonDict) -> bool:
    """Whether the configuration names experts."""
    return bool(config.get("num_experts")) and size(config, "moe_every_n_layers", 0) > 0


def read(config: JsonDict, left: Tensors) -> Body:
    """The encoder: post-norm, rotary positions, GELU; experts in layers i with `i % moe_every_n_layers == 1`.

    Experts have no first bias and share the last one, which is added once. `w1` and `w2` have F rows an expert, one
    expert below the other: `up(x) = x w1_e^T` and `down(h) = h w2_e`, so that `w2_e` is the transpose of our weight.
    The vector of token type 0 is added to the rows, see `nomic_bert.read`.

    Args:
        config: content of config.json.
        left: weights by name.

    Raises:
        ValueError: if the model computes something else, or a tensor is missing, left over or of another shape.
    """
    expect(config, _EXPECTED)
    if config.get("num_shared_experts"):
        raise ValueError(f"num_shared_experts {config['num_shared_experts']!r} has no counterpart here: only 0")
    shape = nomic_hub.shape_of(config)
    every, sizes = size(config, "moe_every_n_layers"), (size(config, "num_experts"), size(config, "n_inner"))
    numbers = [layer for layer in range(shape.layers) if layer % every == 1]
    if not numbers:
        raise ValueError(f"moe_every_n_layers {every} gives none of {shape.layers} layers experts: only 2 and more do")
    rows, state = nomic_hub.take_input(left, "emb_ln")
    for layer in range(shape.layers):
        ours, theirs = f"layers.{layer}", f"encoder.layers.{layer}"
        dense = {} if layer in numbers else nomic_hub.PLAIN
        state |= shape.take_block(left, ours, theirs, {**nomic_hub.BLOCK, **dense})
        if layer in numbers:
            state |= _take_experts(left, f"{ours}.feed_forward", f"{theirs}.mlp", (*sizes, rows.shape[1]))
    left.check_empty()
    # what the encoder counts between two steps of training
    state["pending"] = torch.zeros(len(numbers), sizes[0], dtype=torch.int64)
    encoder = {"class_path": "MoEEncoder", "init_args": shape.init_args(mixture=_mixture(config, numbers))}
    return Body(encoder, state, rows, shape.max_length)


def _take_experts(left: Tensors, ours: str, theirs: str, sizes: tuple[int, int, int]) -> dict[str, Tensor]:
    """The experts and the router of a layer; `sizes` are E, F and D."""
    experts, hidden, width = sizes

    def take(name: str, *shape: int) -> Tensor:
        tensor = left.take(f"{theirs}.{name}")
        if tensor.shape != shape:
            raise ValueError(f"tensor {theirs}.{name} is of shape {list(tensor.shape)}, not {list(shape)}")
        return tensor

    up, down = (take(f"experts.mlp.{name}", experts * hidden, width).view(sizes) for name in ("w1", "w2"))
    return {
        f"{ours}.router.linear.weight": take("router.layer.weight", experts, width),
        f"{ours}.up.weight": up,
        f"{ours}.down.weight": down.transpose(1, 2).contiguous(),
        f"{ours}.bias": take("experts.bias", width),
    }


def _mixture(config: JsonDict, numbers: list[int]) -> JsonDict:
    normalise = config.get("moe_normalize_expert_weights") or 0
    if normalise not in (0, 1):  # the exponent of another norm than the sum
        raise ValueError(f"moe_normalize_expert_weights {normalise!r} has no counterpart here: only true and false")
    return {
        "num_experts": size(config, "num_experts"),
        "top_k": size(config, "moe_top_k"),
        "layers": numbers,
        "feed_forward": {"class_path": "GELU", "init_args": {"dim": size(config, "n_inner"), "bias": True}},
        "gates": "normalised" if normalise else "raw",
        "up_bias": False,
    }
