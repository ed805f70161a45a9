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
from zoo.pretrained import Pretrained, read_pretrained

LENGTHS = [1, 5, 5, 3, 9]
Write = Callable[..., Any]
Build = Callable[[Pretrained], Encoder]
Make = Callable[..., PackedBatch]
Slow = Callable[[dict[str, Any], dict[str, Tensor]], Callable[[Tensor], Tensor]]

# keys that transformers needs beside those of the hub
BOTH = {
    "hidden_size": 12,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "layer_norm_eps": 1e-3,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
}


def by_transformers(model: Any, batch: PackedBatch) -> Tensor:
    texts = batch.tokens.split(batch.layout(causal=False).lengths.tolist())
    with torch.no_grad():
        return torch.cat([model(input_ids=text[None]).last_hidden_state[0] for text in texts])


@pytest.fixture
def hidden(build_encoder: Build) -> Callable[[Path, PackedBatch], Tensor]:
    """Hidden vectors of a packed batch by the encoder that was read."""

    def compute(folder: Path, batch: PackedBatch) -> Tensor:
        pretrained = read_pretrained(folder)
        with torch.no_grad():
            encoder = build_encoder(pretrained)
            found: Tensor = encoder(pretrained.rows[batch.tokens], batch.layout(causal=False)).hidden
        return found

    return compute


Hidden = Callable[[Path, PackedBatch], Tensor]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"activation_function": "geglu", **dict.fromkeys(("qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"), True)},
        {"activation_function": "gelu", "mlp_fc1_bias": True, "mlp_fc2_bias": True, "type_vocab_size": 0},
    ],
    ids=["v1.5", "geglu-biases", "plain"],
)
@pytest.mark.parametrize("prefix", ["", "bert."])
def test_the_layout_of_the_hub_equals_the_equations(
    config: dict[str, Any],
    prefix: str,
    write_hub_model: Write,
    slow_nomic: Slow,
    hidden: Hidden,
    make_batch: Make,
    tmp_path: Path,
) -> None:
    whole, tensors = write_hub_model(tmp_path, prefix=prefix, **config)
    batch = make_batch(LENGTHS, 29)
    texts = batch.tokens.split(LENGTHS)
    expected = torch.cat([slow_nomic(whole, tensors)(text) for text in texts])
    assert float((hidden(tmp_path, batch) - expected).abs().max()) < 1e-10
    found = read_pretrained(tmp_path)
    assert found.rows.shape == (29, 12), "rows behind the last token stand for nothing"
    assert found.max_length == 2048, "what was seen in training"
    assert found.encoder["init_args"]["dropout"] == 0.25


def test_transformers_takes_the_same_half_for_the_gate(
    write_hub_model: Write, hidden: Hidden, make_batch: Make, tmp_path: Path
) -> None:
    from transformers import AutoModel

    write_hub_model(tmp_path, dtype=torch.float32, **BOTH)
    model, loading = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values()), loading
    batch = make_batch(LENGTHS, 29)
    assert float((by_transformers(model.eval(), batch) - hidden(tmp_path, batch)).abs().max()) < 1e-5


@pytest.mark.parametrize("head", [False, True], ids=["encoder", "head-and-shards"])
@pytest.mark.parametrize("options", [{}, {"hidden_act": "gelu", "rope_parameters": {"rope_theta": 50.0}}])
def test_the_layout_of_transformers(
    head: bool, options: dict[str, Any], write_model: Write, hidden: Hidden, make_batch: Make, tmp_path: Path
) -> None:
    model = write_model(tmp_path, "nomic_bert", head, layer_norm_eps=1e-3, **options)
    batch = make_batch(LENGTHS, 29)
    assert float((by_transformers(model, batch) - hidden(tmp_path, batch)).abs().max()) < 1e-5
    assert read_pretrained(tmp_path).max_length == 42


@pytest.mark.parametrize("native", [False, True])
def test_names_of_tensors_may_be_of_either_kind(
    native: bool, write_model: Write, hidden: Hidden, make_batch: Make, tmp_path: Path
) -> None:
    model = write_model(tmp_path, "nomic_bert")
    names = dict(model.state_dict())
    tensors = {n: t.contiguous() for n, t in names.items()} if native else to_hub(names)
    assert ("emb_ln.weight" in tensors) != native
    save_file(tensors, tmp_path / "model.safetensors")
    batch = make_batch(LENGTHS, 29)
    assert float((by_transformers(model, batch) - hidden(tmp_path, batch)).abs().max()) < 1e-5


def to_hub(native: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of the hub for what transformers calls otherwise."""
    renamed = {
        "embeddings.LayerNorm": "emb_ln",
        "self_attn.o_proj": "attn.out_proj",
        "mlp.up_proj": "mlp.fc11",
        "mlp.gate_proj": "mlp.fc12",
        "mlp.down_proj": "mlp.fc2",
        "post_attention_layernorm": "norm1",
        "post_mlp_layernorm": "norm2",
    }
    tensors = {}
    for name, tensor in native.items():
        if "_proj.weight" in name and any(f"self_attn.{part}_proj" in name for part in "qkv"):
            parts = [native[name.replace(name.split(".")[3], f"{part}_proj")] for part in "qkv"]
            name = f"layers.{name.split('.')[1]}.attn.Wqkv.weight"
            tensor = torch.cat(parts)
        for old, new in renamed.items():
            name = name.replace(old, new)
        tensors[f"encoder.{name}" if name.startswith("layers.") else name] = tensor.contiguous()
    return tensors


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"rotary_emb_interleaved": True},
            "rotary_emb_interleaved True has no counterpart here: only False can be read",
        ),
        ({"rotary_emb_fraction": 0.5}, "rotary_emb_fraction 0.5 has no counterpart here: only 1.0 can be read"),
        ({"rotary_emb_fraction": 0}, "rotary_emb_fraction 0.0 has no counterpart here"),
        ({"rotary_scaling_factor": 2.0}, "rotary_scaling_factor 2.0 has no counterpart here: only None can be read"),
        ({"rotary_emb_scale_base": 512}, "rotary_emb_scale_base 512 has no counterpart here"),
        ({"prenorm": True}, "prenorm True has no counterpart here: only False can be read"),
        ({"parallel_block": True}, "parallel_block True has no counterpart"),
        ({"use_rms_norm": True}, "use_rms_norm True has no counterpart"),
        ({"causal": True}, "causal True has no counterpart here"),
        ({"alibi": True}, "alibi True has no counterpart here"),
        ({"num_heads_kv": 1}, "num_heads_kv 1 has no counterpart here: only 2 can be read"),
        (
            {"activation_function": "glu"},
            "activation_function 'glu' has no counterpart here: only 'swiglu' and 'geglu'",
        ),
        ({"activation_function": None}, "activation_function None has no counterpart here"),
        ({"mlp_fc1_bias": True}, "'mlp_fc1_bias': True, 'mlp_fc2_bias': False} has no counterpart here"),
        ({"qkv_proj_bias": 1}, "says 1 of qkv_proj_bias, which must be true or false"),
        ({"qkv_proj_bias": True}, r"tensor encoder\.layers\.0\.attn\.Wqkv\.bias is missing"),
        ({"n_head": None}, "says None of n_head, which must be a whole number"),
        ({"n_layer": 3}, r"tensor encoder\.layers\.3\..* has no place"),
        ({"n_layer": 5}, r"tensor encoder\.layers\.4\..* is missing"),
        ({"num_attention_heads": 4}, "n_head 2 and num_attention_heads 4 contradict each other: remove the wrong one"),
        ({"rope_parameters": {"rope_theta": 50.0}}, "rotary_emb_base 1000.0 and rope_theta 50.0 contradict each other"),
    ],
)
def test_what_nomics_keys_say_is_refused_by_name(
    values: dict[str, Any], message: str, write_hub_model: Write, tmp_path: Path
) -> None:
    write_hub_model(tmp_path)
    change(tmp_path, values)
    with pytest.raises(ValueError, match=message):
        read_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act 'relu' has no counterpart here: only 'silu' and 'gelu' can be read"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type 'yarn' has no counterpart here: only 'default'"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor 0.5 has no counterpart"),
        ({"rope_parameters": 3}, "says 3 of rope_parameters, which must be an object"),
        ({"rope_scaling": {"type": "linear"}}, r"rope_scaling {'type': 'linear'} has no counterpart"),
        ({"head_dim": 4}, "head_dim 4 has no counterpart here: only 6 can be read"),
        ({"is_decoder": True}, "is_decoder True has no counterpart"),
    ],
)
def test_what_the_keys_of_transformers_say_is_refused_by_name(
    values: dict[str, Any], message: str, write_model: Write, tmp_path: Path
) -> None:
    write_model(tmp_path, "nomic_bert")
    change(tmp_path, values)
    with pytest.raises(ValueError, match=message):
        read_pretrained(tmp_path)


def change(folder: Path, values: dict[str, Any]) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_a_tensor_that_is_left_over_is_named(write_hub_model: Write, tmp_path: Path) -> None:
    write_hub_model(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({**load_file(file), "encoder.layers.0.mlp.norm.weight": torch.ones(20)}, file)
    with pytest.raises(ValueError, match=r"encoder\.layers\.0\.mlp\.norm\.weight has no place"):
        read_pretrained(tmp_path)
