"""Pre-norm `DenseEncoder` with rotary positions as ModernBERT."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.export.stock import Stock, Trained, renamed
from zoo.layers.feed_forward import GELU, SwiGLU
from zoo.layers.rotary_positions import RotaryPositions

_NAMES = {
    "attention_norm": "attn_norm",
    "attention.qkv": "attn.Wqkv",
    "attention.out": "attn.Wo",
    "feed_forward_norm": "mlp_norm",
    "feed_forward.up": "mlp.Wi",
    "feed_forward.down": "mlp.Wo",
}


def to_modernbert(trained: Trained) -> Stock:
    """All attention global, and one layer more than was trained.

    The first layer of ModernBERT has no norm before its attention. Ours has one, behind that of the embedded input,
    and the two cannot be merged: the second divides by a number that differs from token to token once the gains of the
    first differ. So the first layer there has an attention and a feed-forward of zeros, which add nothing, and ours
    follow. A GELU without a gate gets a gate that is 1 everywhere.

    References:
        Warner et al., ModernBERT, arXiv 2412.13663.
    """
    encoder, positions = trained.encoder, trained.encoder.positions
    assert isinstance(positions, RotaryPositions)
    block = encoder.blocks[0]
    ungated = isinstance(block.feed_forward, GELU)
    bias = ungated or any(name.endswith("bias") for name, _ in encoder.named_parameters())
    config = {
        "model_type": "modernbert",
        "architectures": ["ModernBertModel"],
        **trained.sizes,
        "num_hidden_layers": len(encoder.blocks) + 1,
        "cls_token_id": trained.vocabulary.cls_id,
        "sep_token_id": trained.vocabulary.sep_id,
        "hidden_activation": "silu" if isinstance(block.feed_forward, SwiGLU) else "gelu",
        "max_position_embeddings": trained.max_length,
        "norm_eps": encoder.norm.eps,
        "norm_bias": bias,
        "attention_bias": bias,
        "mlp_bias": bias,
        "embedding_dropout": encoder.dropout.p,
        # the keys of versions 4.48 and later; 5 reads them too
        "global_attn_every_n_layers": 1,
        "global_rope_theta": positions.base,
        "local_rope_theta": positions.base,
    }
    note = (
        f"Layer 0 adds nothing: ModernBERT has no norm before its first attention, so the {len(encoder.blocks)} "
        "trained layers are layers 1 and up."
    )
    tensors = _tensors(trained, ungated)
    return Stock(config, {n: t for n, t in tensors.items() if bias or not n.endswith("bias")}, note)


def _tensors(trained: Trained, ungated: bool) -> dict[str, Tensor]:
    state = trained.state
    tensors = {
        "embeddings.tok_embeddings.weight": trained.rows,
        **renamed(state, {"input_norm": "embeddings.norm", "output_norm": "final_norm"}),
    }
    for layer in range(len(trained.encoder.blocks)):
        theirs = f"layers.{layer + 1}."
        tensors |= renamed(state, _NAMES, f"layers.{layer}.", theirs)
        if ungated:
            weight, shift = (tensors[f"{theirs}mlp.Wi.{kind}"] for kind in ("weight", "bias"))
            tensors[f"{theirs}mlp.Wi.weight"] = torch.cat([weight, torch.zeros_like(weight)])
            tensors[f"{theirs}mlp.Wi.bias"] = torch.cat([shift, torch.ones_like(shift)])
    return tensors | _empty_layer(tensors)


def _empty_layer(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Layer 0 like layer 1, all zeros, without the norm that it does not have."""
    second = {name: t for name, t in tensors.items() if name.startswith("layers.1.") and ".attn_norm." not in name}
    return {name.replace("layers.1.", "layers.0."): torch.zeros_like(t) for name, t in second.items()}
