"""Which architecture of transformers computes what an encoder computes, exactly."""

from __future__ import annotations

from zoo.contracts import Encoder
from zoo.encoders import DenseEncoder
from zoo.export.bert import to_bert, to_roberta_prelayernorm
from zoo.export.modernbert import to_modernbert
from zoo.export.rotary_post_norm import to_gte, to_jina, to_nomic_bert
from zoo.export.stock import Stock, Trained
from zoo.layers.feed_forward import GELU, GeGLU, SwiGLU
from zoo.layers.learned_positions import LearnedPositions
from zoo.layers.local_rotary_positions import LocalRotaryPositions
from zoo.layers.rotary_positions import RotaryPositions

_KNOWN = (GELU, SwiGLU, GeGLU)
_KNOWN_POSITIONS = (RotaryPositions, LearnedPositions, LocalRotaryPositions)


def dense_encoder(encoder: Encoder) -> DenseEncoder:
    """`encoder`, where something else has its shape too.

    Raises:
        ValueError: if its class, its positions or its feed-forward block have no counterpart.
    """
    if type(encoder) is not DenseEncoder:
        raise ValueError(
            f"no stock architecture is a {type(encoder).__name__}: only runs with model.encoder DenseEncoder export"
        )
    feed_forward, positions = type(encoder.blocks[0].feed_forward), type(encoder.positions)
    for part, known in ((feed_forward, _KNOWN), (positions, _KNOWN_POSITIONS)):
        if part not in known:
            raise ValueError(
                f"no stock architecture has {part.__name__}: train with one of {', '.join(k.__name__ for k in known)}"
            )
    return encoder


def stock_of(trained: Trained) -> Stock:
    """The same computation as an architecture of transformers.

    Raises:
        ValueError: if there is none; says what to choose instead.
    """
    encoder = trained.encoder
    _check_first_norm(encoder)
    block = encoder.blocks[0]
    ungated = isinstance(block.feed_forward, GELU)
    if isinstance(encoder.positions, LearnedPositions):
        if not ungated:
            raise ValueError(
                f"no stock architecture has LearnedPositions with a {type(block.feed_forward).__name__} block: train "
                "with feed_forward GELU, or with RotaryPositions"
            )
        return to_roberta_prelayernorm(trained) if block.pre else to_bert(trained)
    if block.pre:
        return to_modernbert(trained)
    if ungated:
        return to_jina(trained)
    if block.feed_forward.down.bias is not None:
        raise ValueError(
            f"no stock architecture has RotaryPositions, norm post and a {type(block.feed_forward).__name__} block "
            "with biases: train with bias false in feed_forward, or with norm pre"
        )
    return to_nomic_bert(trained) if block.attention.out.bias is None else to_gte(trained)


def _check_first_norm(encoder: DenseEncoder) -> None:
    """ModernBERT alone has local attention, and it has no norm before the first attention."""
    if isinstance(encoder.positions, LocalRotaryPositions) and encoder.norm.first:
        raise ValueError(
            "no stock architecture has LocalRotaryPositions and a norm before the first attention: train with norm "
            "{place: pre, first: false}, or with RotaryPositions"
        )
    if isinstance(encoder.positions, LearnedPositions) and not encoder.norm.first:
        raise ValueError(
            "no stock architecture has LearnedPositions and no norm before the first attention: train with first true "
            "in norm, or with RotaryPositions"
        )
