"""Pre-norm `DenseEncoder` with rotary positions as ModernBERT."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts import JsonDict
from zoo.export.stock import Stock, Trained, renamed
from zoo.layers.feed_forward import GELU, SwiGLU
from zoo.layers.local_rotary_positions import LocalRotaryPositions
from zoo.layers.rotary_positions import RotaryPositions
from zoo.pretrained.modernbert import BLOCK_NAMES


def to_modernbert(trained: Trained) -> Stock:
    """The same layers where there is no norm before the first attention; else one layer more than was trained.

    The first layer of ModernBERT has no norm before its attention. Where ours has one, behind that of the embedded
    input, the two cannot be merged: the second divides by a number that differs from token to token once the gains of
    the first differ. So the first layer there has an attention and a feed-forward of zeros, which add nothing, and ours
    follow. A GELU without a gate gets a gate that is 1 everywhere.

    References:
        Warner et al., ModernBERT, arXiv 2412.13663.
    """
    encoder = trained.encoder
    block, more = encoder.blocks[0], int(encoder.norm.first)
    ungated = isinstance(block.feed_forward, GELU)
    biases = {
        "norm_bias": encoder.input_norm.bias is not None,
        "attention_bias": block.attention.out.bias is not None,
        "mlp_bias": ungated or block.feed_forward.down.bias is not None,
    }
    config = {
        "model_type": "modernbert",
        "architectures": ["ModernBertModel"],
        **trained.sizes,
        "num_hidden_layers": len(encoder.blocks) + more,
        "cls_token_id": trained.vocabulary.cls_id,
        "sep_token_id": trained.vocabulary.sep_id,
        "hidden_activation": "silu" if isinstance(block.feed_forward, SwiGLU) else "gelu",
        "max_position_embeddings": trained.max_length,
        "norm_eps": encoder.norm.eps,
        **biases,
        "embedding_dropout": encoder.dropout.p,
        **_attention(trained),
    }
    note = (
        f"Layer 0 adds nothing: ModernBERT has no norm before its first attention, so the {len(encoder.blocks)} "
        "trained layers are layers 1 and up."
    )
    tensors = _tensors(trained, more, ungated)
    kept = {n: t for n, t in tensors.items() if not n.endswith("bias") or biases[_kind(n)]}
    return Stock(config, kept, note if more else "")


def _attention(trained: Trained) -> JsonDict:
    """Who sees whom: the keys of versions 4.48 and later; 5 reads them too."""
    positions = trained.encoder.positions
    assert isinstance(positions, RotaryPositions)
    whole = {"global_rope_theta": positions.base}
    if not isinstance(positions, LocalRotaryPositions):
        return {**whole, "global_attn_every_n_layers": 1, "local_rope_theta": positions.base}
    return {
        **whole,
        "global_attn_every_n_layers": positions.every,
        "local_attention": 2 * positions.size,
        "local_rope_theta": positions.local_base,
    }


def _kind(name: str) -> str:
    """Which key of the configuration says whether there is a bias of this name."""
    if ".attn." in name:
        return "attention_bias"
    return "mlp_bias" if ".mlp." in name else "norm_bias"


def _tensors(trained: Trained, more: int, ungated: bool) -> dict[str, Tensor]:
    state = trained.state
    tensors = {
        "embeddings.tok_embeddings.weight": trained.rows,
        **renamed(state, {"input_norm": "embeddings.norm", "output_norm": "final_norm"}),
    }
    for layer in range(len(trained.encoder.blocks)):
        theirs = f"layers.{layer + more}."
        first = {"attention_norm"} if layer + more == 0 else set()
        names = {name: other for name, other in BLOCK_NAMES.items() if name not in first}
        tensors |= renamed(state, names, f"layers.{layer}.", theirs)
        if ungated:
            weight, shift = (tensors[f"{theirs}mlp.Wi.{kind}"] for kind in ("weight", "bias"))
            tensors[f"{theirs}mlp.Wi.weight"] = torch.cat([weight, torch.zeros_like(weight)])
            tensors[f"{theirs}mlp.Wi.bias"] = torch.cat([shift, torch.ones_like(shift)])
    return tensors | _empty_layer(tensors) if more else tensors


def _empty_layer(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Layer 0 like layer 1, all zeros, without the norm that it does not have."""
    second = {name: t for name, t in tensors.items() if name.startswith("layers.1.") and ".attn_norm." not in name}
    return {name.replace("layers.1.", "layers.0."): torch.zeros_like(t) for name, t in second.items()}
