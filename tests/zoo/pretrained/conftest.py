"""Folders of tiny random models, written by transformers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from zoo.contracts import Encoder
from zoo.pretrained import Pretrained

SPECIAL = {
    "bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    "xlm-roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    "nomic_bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "modernbert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
}
WORDS = [first + second for first in "bcdfgh" for second in "aeio"]
SIZES = {
    "vocab_size": 32,
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 42,
    "hidden_dropout_prob": 0.25,
}


def tokenizer_of(kind: str) -> Tokenizer:
    """Words and special tokens, 29 in all: the models have rows for 32."""
    names = SPECIAL[kind]
    vocab = {token: place for place, token in enumerate([*names, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=names[1] if names[0] == "[PAD]" else names[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    return tokenizer


@pytest.fixture(scope="session")
def write_model() -> Callable[..., Any]:
    """`write_model(folder, kind, head=False, dtype=float32, **config)`: the model that was written, all random."""
    import transformers

    def write(folder: Path, kind: str, head: bool = False, dtype: torch.dtype = torch.float32, **config: Any) -> Any:
        settings: Any = transformers.AutoConfig.for_model(kind, **{**SIZES, **config})
        auto = transformers.AutoModelForMaskedLM if head else transformers.AutoModel
        torch.manual_seed(0)
        model: Any = auto.from_config(settings)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.4)
        model.to(dtype).eval().save_pretrained(folder, **({"max_shard_size": "12KB"} if head else {}))
        tokenizer_of(kind).save(str(folder / "tokenizer.json"))
        return model.base_model

    return write


@pytest.fixture(scope="session")
def build_encoder() -> Callable[[Pretrained], Encoder]:
    """The encoder that a configuration with the same values builds, with the weights."""
    import zoo.variants  # noqa: F401  (short names of classes)

    def build(pretrained: Pretrained) -> Encoder:
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--encoder", type=Callable[[int], Encoder])
        factory = parser.instantiate(parser.parse_object({"encoder": pretrained.encoder})).encoder
        encoder: Encoder = factory(pretrained.width).to(pretrained.rows.dtype)
        encoder.load_state_dict(pretrained.encoder_state)
        return encoder.eval()

    return build


# as nomic-embed-text-v1.5 on the hub, but smaller; F is no multiple of D, so that no matrix can be read transposed
HUB = {
    "model_type": "nomic_bert",
    "n_embd": 12,
    "n_head": 2,
    "n_layer": 4,
    "n_inner": 20,
    "n_positions": 8192,
    "max_trained_positions": 2048,
    "vocab_size": 32,
    "type_vocab_size": 2,
    "activation_function": "swiglu",
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "layer_norm_epsilon": 1e-3,
    "prenorm": False,
    "parallel_block": False,
    "causal": False,
    "use_rms_norm": False,
    "qkv_proj_bias": False,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "resid_pdrop": 0.25,
    "attn_pdrop": 0.0,
    "embd_pdrop": 0.0,
}
# what nomic-embed-text-v2-moe has besides, or otherwise
EXPERTS = {
    "activation_function": "gelu",
    "type_vocab_size": 1,
    "rotary_emb_base": 10000.0,
    "use_rms_norm": None,
    "num_experts": 4,
    "moe_top_k": 2,
    "moe_every_n_layers": 2,
    "moe_normalize_expert_weights": False,
    "expert_choice_router": False,
    "num_shared_experts": 0,
    "ffn_div": 1,
    **dict.fromkeys(("qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias"), True),
}


def hub_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of the encoder."""
    D, F, E = config["n_embd"], config["n_inner"], config.get("num_experts", 0)
    shapes: dict[str, tuple[int, ...]] = {"embeddings.word_embeddings.weight": (config["vocab_size"], D)}
    if config["type_vocab_size"]:
        shapes["embeddings.token_type_embeddings.weight"] = (config["type_vocab_size"], D)

    def linear(name: str, inputs: int, outputs: int, bias: bool) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        if bias:
            shapes[f"{name}.bias"] = (outputs,)

    norms = ["emb_ln"]
    for layer in range(config["n_layer"]):
        block = f"encoder.layers.{layer}"
        linear(f"{block}.attn.Wqkv", D, 3 * D, config["qkv_proj_bias"])
        linear(f"{block}.attn.out_proj", D, D, config["qkv_proj_bias"])
        norms += [f"{block}.norm1", f"{block}.norm2"]
        if E and layer % config["moe_every_n_layers"] == 1:
            linear(f"{block}.mlp.router.layer", D, E, False)
            shapes |= {f"{block}.mlp.experts.mlp.{name}": (E * F, D) for name in ("w1", "w2")}
            shapes[f"{block}.mlp.experts.bias"] = (D,)
            continue
        for name in ["fc1"] if config["activation_function"] == "gelu" else ["fc11", "fc12"]:
            linear(f"{block}.mlp.{name}", D, F, config["mlp_fc1_bias"])
        linear(f"{block}.mlp.fc2", F, D, config["mlp_fc2_bias"])
    for name in norms:
        shapes |= {f"{name}.weight": (D,), f"{name}.bias": (D,)}
    return shapes


@pytest.fixture(scope="session")
def shapes_of_hub() -> Callable[[dict[str, Any]], dict[str, tuple[int, ...]]]:
    """`shapes_of_hub(config)`: names and shapes of all tensors."""
    return hub_shapes


@pytest.fixture(scope="session")
def write_hub_model() -> Callable[..., tuple[dict[str, Any], dict[str, Tensor]]]:
    """`write_hub_model(folder, experts=False, prefix="", **config)`: as Nomic's code has it."""

    def write(
        folder: Path, experts: bool = False, prefix: str = "", dtype: torch.dtype = torch.float64, **config: Any
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        whole = {**HUB, **(EXPERTS if experts else {}), **config}
        generator = torch.Generator().manual_seed(0)
        tensors = {
            name: 0.4 * torch.randn(shape, generator=generator, dtype=dtype)
            for name, shape in hub_shapes(whole).items()
        }
        head = {"cls.predictions.bias": torch.zeros(32)} if prefix else {}
        folder.mkdir(exist_ok=True)
        save_file({**{prefix + name: t for name, t in tensors.items()}, **head}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(whole))
        tokenizer_of("xlm-roberta" if experts else "nomic_bert").save(str(folder / "tokenizer.json"))
        return whole, tensors

    return write


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def rotated(x: Tensor, place: int, base: float) -> Tensor:
    half, out = len(x) // 2, x.clone()
    for i in range(half):
        angle = place * base ** (-2 * i / len(x))
        out[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
        out[i + half] = x[i + half] * math.cos(angle) + x[i] * math.sin(angle)
    return out


@dataclass
class SlowNomic:
    """NomicBERT by loops over tokens, heads and experts; one text at a time."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]

    def __call__(self, tokens: Tensor) -> Tensor:
        types = self.tensors.get("embeddings.token_type_embeddings.weight", torch.zeros(1, 1).double())
        rows = self.tensors["embeddings.word_embeddings.weight"]
        xs = [self.norm(rows[token] + types[0], "emb_ln") for token in tokens.tolist()]
        for layer in range(self.config["n_layer"]):
            block = f"encoder.layers.{layer}"
            mixed = zip(xs, self.attention(xs, f"{block}.attn"), strict=True)
            xs = [self.norm(x + update, f"{block}.norm1") for x, update in mixed]
            xs = [self.norm(x + self.feed_forward(x, f"{block}.mlp"), f"{block}.norm2") for x in xs]
        return torch.stack(xs)

    def linear(self, x: Tensor, name: str) -> Tensor:
        return self.tensors[f"{name}.weight"] @ x + self.tensors.get(f"{name}.bias", torch.zeros(1).double())

    def norm(self, x: Tensor, name: str) -> Tensor:
        centred = x - x.mean()
        unit = centred / torch.sqrt(centred.square().mean() + self.config["layer_norm_epsilon"])
        return unit * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def attention(self, xs: list[Tensor], name: str) -> list[Tensor]:
        heads, base = self.config["n_head"], self.config["rotary_emb_base"]
        parts = [self.linear(x, f"{name}.Wqkv").view(3, heads, -1) for x in xs]
        mixed = []
        for i in range(len(xs)):
            out = []
            for head in range(heads):
                query = rotated(parts[i][0, head], i, base)
                scores = [rotated(part[1, head], j, base) @ query / len(query) ** 0.5 for j, part in enumerate(parts)]
                weights = torch.stack(scores).softmax(0)
                out.append(torch.stack([w * part[2, head] for w, part in zip(weights, parts, strict=True)]).sum(0))
            mixed.append(self.linear(torch.cat(out), f"{name}.out_proj"))
        return mixed

    def feed_forward(self, x: Tensor, name: str) -> Tensor:
        if f"{name}.experts.bias" in self.tensors:
            return self.mixture(x, name)
        kind = self.config["activation_function"]
        if kind == "gelu":
            return self.linear(gelu(self.linear(x, f"{name}.fc1")), f"{name}.fc2")
        gate = self.linear(x, f"{name}.fc12")
        opened = gate * torch.sigmoid(gate) if kind == "swiglu" else gelu(gate)
        return self.linear(self.linear(x, f"{name}.fc11") * opened, f"{name}.fc2")

    def mixture(self, x: Tensor, name: str) -> Tensor:
        F, E = self.config["n_inner"], self.config["num_experts"]
        probabilities = self.linear(x, f"{name}.router.layer").softmax(0)
        chosen = sorted(range(E), key=lambda e: -float(probabilities[e]))[: self.config["moe_top_k"]]
        mass = sum(float(probabilities[e]) for e in chosen) if self.config["moe_normalize_expert_weights"] else 1.0
        out = self.tensors[f"{name}.experts.bias"].clone()
        for e in chosen:
            for row in range(e * F, (e + 1) * F):  # one hidden unit
                unit = gelu(self.tensors[f"{name}.experts.mlp.w1"][row] @ x)
                out += probabilities[e] / mass * unit * self.tensors[f"{name}.experts.mlp.w2"][row]
        return out


@pytest.fixture(scope="session")
def slow_nomic() -> Callable[[dict[str, Any], dict[str, Tensor]], Callable[[Tensor], Tensor]]:
    """`slow_nomic(config, tensors)(tokens)`: hidden vectors of one text."""
    return SlowNomic
