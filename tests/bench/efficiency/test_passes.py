from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.efficiency import passes


def test_batches_are_of_the_size_and_longest_first(new_slow_encoder: Callable[..., Any]) -> None:
    encoder = new_slow_encoder()
    passes.encode(encoder, ["a", "a b c", "a b", "a b c d", ""], 2)
    assert encoder.batches == [[4, 3], [2, 1], [0]]


def test_tokens_are_counted_where_there_are_any(new_slow_encoder: Callable[..., Any]) -> None:
    assert passes.tokens_per_text(new_slow_encoder(), ["a b", "a"]) == 1.5
    assert passes.tokens_per_text(new_slow_encoder(reads_text=True), ["a b"]) is None
