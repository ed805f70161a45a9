"""Encoding texts against sentence-transformers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from bench.speed.peers import fast_tokenizer, modernbert_config
from bench.speed.ratio import Timing, time_in_turn
from bench.speed.text import Shape, docstrings, tokenizer_for
from zoo.encode import TextEncoder
from zoo.encoders.dense_encoder import DenseEncoder
from zoo.layers.feed_forward import GeGLU
from zoo.objectives.contrastive import Contrastive

OURS = "zoo TextEncoder"


def measure(
    precision: str, texts: int = 10_000, rounds: int = 3, batch_size: int = 32, shape: Shape | None = None
) -> dict[str, Timing]:
    """Time the encoding of the same texts from strings to vectors.

    Both sort by length. sentence-transformers gets batches of `batch_size` texts, ours gets batches of as many tokens
    as such a batch holds on average.

    Args:
        precision: `32-true` or `bf16-mixed` (for sentence-transformers: under autocast too).
        texts: number of texts.
        rounds: counted rounds.
        batch_size: texts a batch.
        shape: sizes of the models.
    """
    shape = shape or Shape()
    lines = docstrings(texts)
    tokenizer = tokenizer_for(docstrings(4000), shape)
    contestants = {
        OURS: _ours(lines, tokenizer, precision, batch_size, shape),
        "sentence-transformers ModernBERT": _peer(lines, tokenizer, precision, batch_size, shape),
    }
    return time_in_turn(contestants, rounds)


def _ours(lines: list[str], tokenizer: Any, precision: str, batch_size: int, shape: Shape) -> Callable[[], None]:
    model = Contrastive(
        shape.width, encoder=lambda width: DenseEncoder(width, shape.layers, shape.heads, feed_forward=GeGLU)
    )
    model.build(tokenizer, shape.max_length)
    lengths = [min(shape.max_length, len(encoding.ids)) for encoding in tokenizer.encode_batch_fast(lines)]
    mean_batch = round(batch_size * sum(lengths) / len(lengths))
    encoder = TextEncoder(model, "speed", "cpu", precision, batch_tokens=mean_batch)
    return lambda: _discard(encoder.encode(lines))


def _peer(lines: list[str], tokenizer: Any, precision: str, batch_size: int, shape: Shape) -> Callable[[], None]:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import ModernBertModel

    with tempfile.TemporaryDirectory() as folder:
        ModernBertModel(modernbert_config(tokenizer, shape)).save_pretrained(folder)
        fast_tokenizer(tokenizer, shape).save_pretrained(folder)
        transformer = Transformer(folder, max_seq_length=shape.max_length)
        model = SentenceTransformer(modules=[transformer, Pooling(shape.width, "mean")], device="cpu")
    bf16 = precision == "bf16-mixed"

    def run() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            _discard(model.encode(lines, batch_size=batch_size, show_progress_bar=False))

    return run


def _discard(vectors: Any) -> None:
    assert len(vectors)
