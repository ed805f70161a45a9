"""`DenseEncoder` with learned positions and GELU as BERT (post-norm) or RoBERTa-PreLayerNorm (pre-norm)."""

from __future__ import annotations

from torch import Tensor

from zoo.contracts import JsonDict
from zoo.export.stock import Stock, Trained, pooler, renamed
from zoo.pretrained.bert import BLOCK_NAMES, PROJECTIONS

_PRE_NORM_NAMES = {
    **BLOCK_NAMES,
    "attention_norm": "attention.LayerNorm",
    "feed_forward_norm": "intermediate.LayerNorm",
}


def to_bert(trained: Trained) -> Stock:
    """Post-norm, as Devlin et al., arXiv 1810.04805."""
    places = trained.state["positions.weight"]
    config = {"model_type": "bert", "architectures": ["BertModel"], **_config(trained, len(places))}
    return Stock(config, _tensors(trained, places, BLOCK_NAMES), "The pooler is zeros: use the mean of the tokens.")


def to_roberta_prelayernorm(trained: Trained) -> Stock:
    """Pre-norm; places are counted from behind the id of the pad token there."""
    places = trained.state["positions.weight"]
    offset = trained.vocabulary.pad_id + 1
    shifted = places.new_zeros(offset + len(places), places.shape[1])
    shifted[offset:] = places
    tensors = _tensors(trained, shifted, _PRE_NORM_NAMES) | renamed(trained.state, {"output_norm": "LayerNorm"})
    config = {
        "model_type": "roberta-prelayernorm",
        "architectures": ["RobertaPreLayerNormModel"],
        **_config(trained, len(shifted)),
    }
    return Stock(config, tensors, "The pooler is zeros: use the mean of the tokens.")


def _config(trained: Trained, places: int) -> JsonDict:
    return {
        **trained.sizes,
        **trained.dropout,
        "hidden_act": "gelu",
        "layer_norm_eps": trained.encoder.norm.eps,
        "max_position_embeddings": places,
        "type_vocab_size": 2,
    }


def _tensors(trained: Trained, places: Tensor, names: dict[str, str]) -> dict[str, Tensor]:
    state, width = trained.state, trained.rows.shape[1]
    tensors = {
        "embeddings.word_embeddings.weight": trained.rows,
        "embeddings.position_embeddings.weight": places,
        "embeddings.token_type_embeddings.weight": trained.rows.new_zeros(2, width),
        **renamed(state, {"input_norm": "embeddings.LayerNorm"}),
        **pooler(width, trained.rows),
    }
    for layer in range(len(trained.encoder.blocks)):
        ours, theirs = f"layers.{layer}.", f"encoder.layer.{layer}."
        tensors |= renamed(state, names, ours, theirs)
        for kind in ("weight", "bias"):
            parts = state[f"{ours}attention.qkv.{kind}"].chunk(3)
            tensors |= {f"{theirs}attention.self.{n}.{kind}": p for n, p in zip(PROJECTIONS, parts, strict=True)}
    return tensors
