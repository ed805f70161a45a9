"""Each measurement runs on a tiny shape; what it measures is printed by `zoo bench speed`, never asserted."""

from __future__ import annotations

import pytest
import torch

from bench.speed import encoding, memory, moe, peers, text, training
from bench.speed.text import Shape
from zoo.layers.feed_forward import GELU
from zoo.layers.moe.mixture_of_experts import MixtureOfExperts

TINY = Shape(width=16, layers=1, heads=2, vocabulary=300, max_length=16)
LINES = [f"def word{i}(a, b): return a + b * {i}" for i in range(40)]


@pytest.fixture(autouse=True)
def _own_text(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (training, encoding):
        monkeypatch.setattr(module, "docstrings", lambda count: [LINES[i % len(LINES)] for i in range(count)])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_times_every_model(precision: str) -> None:
    result = training.measure(precision, rounds=1, steps=1, texts_per_batch=8, shape=TINY)
    assert set(result.timings) == {training.OURS, "transformers ModernBERT", "transformers BERT"}
    assert 8 * 3 <= result.tokens <= 8 * TINY.max_length


def test_encoding_times_both() -> None:
    timings = encoding.measure("32-true", texts=12, rounds=1, batch_size=4, shape=TINY)
    assert len(timings) == 2


def test_memory_is_below_that_of_a_step_with_scores() -> None:
    found = memory.measure(vocabulary=20_000, tokens=2048, width=32)
    assert 0 < found["chunks"] < found["logits"]


def test_peers_have_the_same_shape_as_ours() -> None:
    tokenizer = text.tokenizer_for(LINES, TINY)
    for config in (peers.modernbert_config(tokenizer, TINY), peers.bert_config(tokenizer, TINY)):
        assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (16, 1, 2)
        assert config.vocab_size == tokenizer.get_vocab_size()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_moe_times_every_layer(precision: str) -> None:
    found = moe.measure(2, precision, rounds=1, shape=moe.Shape(width=16, hidden=32, experts=4, tokens=64))
    assert list(found) == [moe.DENSE, moe.OURS, moe.THEIRS]


def test_the_experts_of_transformers_compute_what_ours_do() -> None:
    ours = MixtureOfExperts(16, GELU, 4, 2)
    x = torch.randn(10, 16)
    torch.testing.assert_close(moe.TransformersExperts(ours)(x), ours(x)[0])
