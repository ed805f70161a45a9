"""Post-norm `DenseEncoder` with rotary positions as NomicBERT, GTE or Jina Embeddings v3."""

from __future__ import annotations

from zoo.contracts import JsonDict
from zoo.export.stock import Stock, Trained, pooler, renamed
from zoo.layers.feed_forward import SwiGLU
from zoo.layers.rotary_positions import RotaryPositions

_NAMES = {
    "attention.out": "self_attn.o_proj",
    "attention_norm": "post_attention_layernorm",
    "feed_forward_norm": "post_mlp_layernorm",
}
_GELU_NAMES = {"feed_forward.up": "mlp.fc1", "feed_forward.down": "mlp.fc2"}
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")


def to_jina(trained: Trained) -> Stock:
    """GELU without a gate, biases everywhere: what Jina Embeddings v3 (arXiv 2409.10173) is without its adapters."""
    stock = _stock(trained, "jina_embeddings_v3", "JinaEmbeddingsV3Model", "gelu")
    for layer in range(len(trained.encoder.blocks)):
        stock.tensors.update(renamed(trained.state, _GELU_NAMES, f"layers.{layer}.", f"layers.{layer}."))
    stock.tensors.update(pooler(trained.rows.shape[1], trained.rows))
    return stock


def to_nomic_bert(trained: Trained) -> Stock:
    """A gate and no biases but those of the norms: NomicBERT, arXiv 2402.01613."""
    stock = _gated(trained, "nomic_bert", "NomicBertModel")
    projections = (".self_attn.", ".mlp.")
    for name in [n for n in stock.tensors if n.endswith("bias") and any(p in n for p in projections)]:
        del stock.tensors[name]
    return stock


def to_gte(trained: Trained) -> Stock:
    """A gate without biases, and attention with them: GTE, arXiv 2407.19669."""
    return _gated(trained, "gte", "GteModel")


def _gated(trained: Trained, model_type: str, architecture: str) -> Stock:
    swish = isinstance(trained.encoder.blocks[0].feed_forward, SwiGLU)
    stock = _stock(trained, model_type, architecture, "silu" if swish else "gelu")
    for layer in range(len(trained.encoder.blocks)):
        block = f"layers.{layer}."
        gate, value = trained.state[f"{block}feed_forward.up.weight"].chunk(2)
        stock.tensors.update({f"{block}mlp.gate_proj.weight": gate, f"{block}mlp.up_proj.weight": value})
        stock.tensors.update(renamed(trained.state, {"feed_forward.down": "mlp.down_proj"}, block, block))
    return stock


def _stock(trained: Trained, model_type: str, architecture: str, activation: str) -> Stock:
    """All but the feed-forward blocks."""
    state = trained.state
    tensors = {
        "embeddings.word_embeddings.weight": trained.rows,
        "embeddings.token_type_embeddings.weight": trained.rows.new_zeros(2, trained.rows.shape[1]),
        **renamed(state, {"input_norm": "embeddings.LayerNorm"}),
    }
    for layer in range(len(trained.encoder.blocks)):
        block = f"layers.{layer}."
        tensors |= renamed(state, _NAMES, block, block)
        for kind in ("weight", "bias"):
            parts = state[f"{block}attention.qkv.{kind}"].chunk(3)
            tensors |= {f"{block}self_attn.{n}.{kind}": p for n, p in zip(_PROJECTIONS, parts, strict=True)}
    return Stock(_config(trained, model_type, architecture, activation), tensors)


def _config(trained: Trained, model_type: str, architecture: str, activation: str) -> JsonDict:
    positions = trained.encoder.positions
    assert isinstance(positions, RotaryPositions)
    return {
        "model_type": model_type,
        "architectures": [architecture],
        **trained.sizes,
        **trained.dropout,
        "hidden_act": activation,
        "layer_norm_eps": trained.encoder.norm.eps,
        "max_position_embeddings": trained.max_length,
        "type_vocab_size": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": positions.base},
    }
