from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from zoo.contracts import Encoder, PackedBatch
from zoo.pretrained import Pretrained, read_pretrained

Write = Callable[..., Any]
Build = Callable[[Pretrained], Encoder]
Make = Callable[..., PackedBatch]

# windows of 2 on each side: most of these texts are longer, and some are not
LENGTHS = [1, 7, 7, 3, 20, 4, 13]
SIZES = {"num_hidden_layers": 5, "local_attention": 5, "norm_eps": 1e-3, "pad_token_id": 0}


def difference(model: Any, folder: Path, build: Build, batch: PackedBatch) -> float:
    """Largest difference of hidden vectors, texts one by one there, packed here."""
    pretrained = read_pretrained(folder)
    with torch.no_grad():
        texts = batch.tokens.split(batch.layout(causal=False).lengths.tolist())
        expected = torch.cat([model(input_ids=text[None]).last_hidden_state[0] for text in texts])
        hidden = build(pretrained)(pretrained.rows[batch.tokens], batch.layout(causal=False)).hidden
    return float((hidden - expected).abs().max())


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"hidden_activation": "silu", **dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias"), True)},
        {"norm_bias": True, "layer_types": ["full_attention"] + 4 * ["sliding_attention"]},
        {"rope_parameters": {"full_attention": {"rope_theta": 50.0}, "sliding_attention": {"rope_theta": 5.0}}},
        {"global_attn_every_n_layers": 2, "global_rope_theta": 70.0, "local_rope_theta": 7.0},
        {"layer_types": 5 * ["full_attention"]},
    ],
    ids=["default", "silu-biases", "one-global", "bases", "older-keys", "all-global"],
)
@pytest.mark.parametrize("head", [False, True], ids=["encoder", "head-and-shards"])
def test_hidden_vectors_are_those_of_transformers(
    config: dict[str, Any], head: bool, write_model: Write, build_encoder: Build, make_batch: Make, tmp_path: Path
) -> None:
    model = write_model(tmp_path, "modernbert", head, **SIZES, **config)
    assert difference(model, tmp_path, build_encoder, make_batch(LENGTHS, 29)) < 1e-5
    pretrained = read_pretrained(tmp_path)
    assert pretrained.max_length == 42
    assert pretrained.rows.shape == (29, 12), "rows behind the last token stand for nothing"
    parameters = sum(parameter.numel() for parameter in build_encoder(pretrained).parameters())
    assert parameters == sum(p.numel() for name, p in model.named_parameters() if "tok_embeddings" not in name)


def older(folder: Path, **values: Any) -> None:
    """The configuration of a folder with the keys of version 4.48 in place of those of version 5."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    for key in ("layer_types", "rope_parameters", "global_attn_every_n_layers"):
        config.pop(key, None)
    file.write_text(json.dumps({**config, **values}))


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ({}, {}),
        (
            {"rope_parameters": {"full_attention": {"rope_theta": 70.0}, "sliding_attention": {"rope_theta": 7.0}}},
            {"global_rope_theta": 70.0, "local_rope_theta": 7, "global_attn_every_n_layers": 3},
        ),
        (
            {"rope_parameters": {"full_attention": {"rope_theta": 70.0}, "sliding_attention": {"rope_theta": 70.0}}},
            {"global_rope_theta": 70.0, "local_rope_theta": None},
        ),
        (
            {"layer_types": 5 * ["full_attention"], "rope_parameters": {"full_attention": {"rope_theta": 70.0}}},
            {"global_rope_theta": 70.0, "global_attn_every_n_layers": 1, "position_embedding_type": "absolute"},
        ),
    ],
    ids=["defaults", "bases", "one-base", "all-global"],
)
def test_folders_of_version_4_48_are_read_alike(
    now: dict[str, Any],
    then: dict[str, Any],
    write_model: Write,
    build_encoder: Build,
    make_batch: Make,
    tmp_path: Path,
) -> None:
    model = write_model(tmp_path, "modernbert", **SIZES, **now)
    older(tmp_path, **then)
    assert difference(model, tmp_path, build_encoder, make_batch(LENGTHS, 29)) < 1e-5


def test_the_window_of_the_released_model_is_64_on_each_side(write_model: Write, tmp_path: Path) -> None:
    write_model(tmp_path, "modernbert", num_hidden_layers=4, pad_token_id=0)
    assert read_pretrained(tmp_path).encoder["init_args"]["positions"] == {
        "class_path": "LocalRotaryPositions",
        "init_args": {"base": 160_000.0, "window": 64, "every": 3, "local_base": 10_000.0},
    }


MIXED = ["full_attention", "sliding_attention", "full_attention", "full_attention", "sliding_attention"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_activation": "relu"}, "hidden_activation 'relu' has no counterpart here: only 'gelu' and 'silu'"),
        (
            {"layer_types": MIXED},
            r"layer_types \['full_attention', .* has no counterpart here: only 5 of which layer 0",
        ),
        ({"layer_types": MIXED[1:] + MIXED[:1]}, "layer_types .* has no counterpart"),
        ({"layer_types": MIXED[:2]}, "layer_types .* has no counterpart here: only 5 of which"),
        ({"layer_types": None, "global_attn_every_n_layers": 0}, "global_attn_every_n_layers 0 has no counterpart"),
        ({"local_attention": 1}, "local_attention 1 has no counterpart here: only 2 and more"),
        ({"sliding_window": 7}, "sliding_window 7 has no counterpart here: only 2 can be read"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling .* has no counterpart"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "rope_type 'yarn' has no counterpart"),
        ({"rope_parameters": {"sliding_attention": {"rope_type": "linear"}}}, "rope_type 'linear' has no counterpart"),
        ({"rope_parameters": {"rope_theta": 3.0}}, "rope_parameters has 'rope_theta': only 'full_attention' and"),
        ({"norm_bias": None}, "says None of norm_bias, which must be true or false"),
        ({"norm_bias": True}, r"tensor embeddings\.norm\.bias is missing"),
        ({"is_decoder": True}, "is_decoder True has no counterpart"),
    ],
)
def test_what_the_configuration_says_is_refused_by_name(
    values: dict[str, Any], message: str, write_model: Write, tmp_path: Path
) -> None:
    write_model(tmp_path, "modernbert", **SIZES)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    with pytest.raises(ValueError, match=message):
        read_pretrained(tmp_path)


def test_a_norm_before_the_first_attention_has_no_place(write_model: Write, tmp_path: Path) -> None:
    write_model(tmp_path, "modernbert", **SIZES)
    file = tmp_path / "model.safetensors"
    save_file({**load_file(file), "layers.0.attn_norm.weight": torch.ones(12)}, file)
    with pytest.raises(ValueError, match=r"tensor layers\.0\.attn_norm\.weight has no place"):
        read_pretrained(tmp_path)
