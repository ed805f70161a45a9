from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoo.contracts import Encoder, PackedBatch
from zoo.pretrained import Pretrained, nomic_moe, read_pretrained
from zoo.pretrained.nomic_hub import PREFIXES
from zoo.pretrained.tensors import Tensors

LENGTHS = [1, 5, 5, 3, 9]
Write = Callable[..., Any]
Build = Callable[[Pretrained], Encoder]
Make = Callable[..., PackedBatch]
Slow = Callable[[dict[str, Any], dict[str, Tensor]], Callable[[Tensor], Tensor]]


def hidden(pretrained: Pretrained, build: Build, batch: PackedBatch) -> Tensor:
    with torch.no_grad():
        found: Tensor = build(pretrained)(pretrained.rows[batch.tokens], batch.layout(causal=False)).hidden
    return found


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"moe_normalize_expert_weights": True},
        {"moe_top_k": 1},
        {"moe_every_n_layers": 3, "type_vocab_size": 0},
        {"qkv_proj_bias": False},
    ],
    ids=["v2", "normalised", "top-1", "every-third", "no-attention-biases"],
)
def test_the_layout_of_the_hub_equals_the_equations(
    config: dict[str, Any],
    write_hub_model: Write,
    slow_nomic: Slow,
    build_encoder: Build,
    make_batch: Make,
    tmp_path: Path,
) -> None:
    whole, tensors = write_hub_model(tmp_path, experts=True, **config)
    batch = make_batch(LENGTHS, 29)
    expected = torch.cat([slow_nomic(whole, tensors)(text) for text in batch.tokens.split(LENGTHS)])
    pretrained = read_pretrained(tmp_path)
    assert pretrained.encoder["class_path"] == "MoEEncoder"
    assert float((hidden(pretrained, build_encoder, batch) - expected).abs().max()) < 1e-10


def test_a_prefix_and_a_head_are_left_out(write_hub_model: Write, tmp_path: Path) -> None:
    write_hub_model(tmp_path / "plain", experts=True)
    write_hub_model(tmp_path / "head", experts=True, prefix="bert.")
    assert read_pretrained(tmp_path / "plain").content_hash == read_pretrained(tmp_path / "head").content_hash


def formula(config: dict[str, Any]) -> int:
    """Parameters of the checkpoint, part by part; half of the layers have experts."""
    V, D, F, E, layers = (config[key] for key in ("vocab_size", "n_embd", "n_inner", "num_experts", "n_layer"))
    attention = 3 * D * D + 3 * D + D * D + D
    dense, mixture = 2 * D * F + F + D, 2 * E * D * F + E * D + D
    return int(V * D + D + 2 * D + layers * (attention + 4 * D) + layers // 2 * (dense + mixture))


RELEASED = {"n_embd": 768, "n_head": 12, "n_layer": 12, "n_inner": 3072, "num_experts": 8, "vocab_size": 250_048}


@pytest.mark.parametrize(("config", "total"), [({}, 8_092), (RELEASED, 475_292_928)], ids=["tiny", "released"])
def test_no_parameter_more_and_none_less(
    config: dict[str, Any],
    total: int,
    write_hub_model: Write,
    shapes_of_hub: Callable[[dict[str, Any]], dict[str, tuple[int, ...]]],
    build_encoder: Build,
    tmp_path: Path,
) -> None:
    whole = {**write_hub_model(tmp_path, experts=True)[0], **config}
    with torch.device("meta"):
        tensors = {name: torch.empty(shape) for name, shape in shapes_of_hub(whole).items()}
        body = nomic_moe.read(whole, Tensors(tensors, PREFIXES))
        encoder = build_encoder(Pretrained(whole["n_embd"], body.encoder, body.state, body.rows, "", 1))
    assert sum(t.numel() for t in tensors.values()) == formula(whole) == total
    # the vector of token type 0 is added to the rows
    assert body.rows.numel() + sum(p.numel() for p in encoder.parameters()) == total - whole["n_embd"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"expert_choice_router": True}, "expert_choice_router True has no counterpart here: only False can be read"),
        ({"ffn_div": 2}, "ffn_div 2 has no counterpart here: only 1 can be read"),
        ({"num_shared_experts": 1}, "num_shared_experts 1 has no counterpart here: only 0"),
        ({"moe_normalize_expert_weights": 2}, "moe_normalize_expert_weights 2 has no counterpart"),
        ({"activation_function": "swiglu"}, "activation_function 'swiglu' has no counterpart here: only 'gelu'"),
        ({"mlp_fc1_bias": False}, "mlp_fc1_bias False has no counterpart here: only True can be read"),
        ({"prenorm": True}, "prenorm True has no counterpart here: only False can be read"),
        ({"rotary_emb_interleaved": True}, "rotary_emb_interleaved True has no counterpart"),
        ({"moe_every_n_layers": 1}, "moe_every_n_layers 1 gives none of 4 layers experts: only 2 and more do"),
        ({"moe_top_k": None}, "says None of moe_top_k, which must be a whole number"),
        ({"num_experts": 0}, r"tensor encoder\.layers\.1\.mlp\.fc1\.weight is missing"),
        ({"num_experts": 8}, r"layers\.1\.mlp\.experts\.mlp\.w1 is of shape \[80, 12\], not \[160, 12\]"),
        ({"n_inner": 40, "num_experts": 2}, r"mlp\.router\.layer\.weight is of shape \[4, 12\], not \[2, 12\]"),
        ({"moe_every_n_layers": 3}, r"layers\.3\.mlp\.fc1\.weight is missing"),
    ],
)
def test_what_the_configuration_says_is_refused_by_name(
    values: dict[str, Any], message: str, write_hub_model: Write, tmp_path: Path
) -> None:
    write_hub_model(tmp_path, experts=True)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    with pytest.raises(ValueError, match=message):
        read_pretrained(tmp_path)


@pytest.mark.parametrize("change", ["more", "less"])
def test_a_tensor_that_is_missing_or_left_over_is_named(change: str, write_hub_model: Write, tmp_path: Path) -> None:
    write_hub_model(tmp_path, experts=True)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    if change == "more":
        tensors["encoder.layers.1.mlp.experts.mlp.v1"] = torch.ones(80, 12)
    else:
        del tensors["encoder.layers.1.mlp.experts.bias"]
    save_file(tensors, file)
    reason = {"more": r"experts\.mlp\.v1 has no place", "less": r"experts\.bias is missing"}[change]
    with pytest.raises(ValueError, match=reason):
        read_pretrained(tmp_path)
