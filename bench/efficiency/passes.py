"""Single calls of a model, past the engine that plans many."""

from __future__ import annotations

from collections.abc import Sequence

from bench.protocols import Encoder


def encode(encoder: Encoder, texts: Sequence[str], batch_size: int) -> None:
    """Tokenise `texts` and embed them in batches of `batch_size` texts, longest first.

    The vectors are dropped. No prompt is named, so that the model takes its default.
    """
    route = encoder.route(None, None)
    sequences = sorted(encoder.tokenize(texts, route), key=len, reverse=True)
    for start in range(0, len(sequences), batch_size):
        encoder.embed(sequences[start : start + batch_size], route)


def tokens_per_text(encoder: Encoder, texts: Sequence[str]) -> float | None:
    """Mean number of tokens that the model sees, or None if it reads texts rather than token ids."""
    sequences = encoder.tokenize(texts, encoder.route(None, None))
    if any(isinstance(sequence, str) for sequence in sequences):
        return None
    return sum(map(len, sequences)) / len(sequences)
