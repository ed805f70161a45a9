from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from zoo.contracts import PairView
from zoo.encode import TextEncoder, choose_device, model_name
from zoo.encoders import DenseEncoder
from zoo.objectives import Contrastive

Texts = Callable[..., list[str]]


@pytest.fixture
def objective(tokenizer: Tokenizer) -> Contrastive:
    torch.manual_seed(0)
    objective = Contrastive(
        width=16, encoder=partial(DenseEncoder, num_layers=1, num_heads=2), prefixes=PairView("ba ", "da ")
    )
    objective.build(tokenizer, 12)
    return objective


@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
def test_equals_one_by_one_in_any_batch(batch_tokens: int, objective: Contrastive, texts: Texts) -> None:
    given = texts(50)
    encoder = TextEncoder(objective, "m", device="cpu", batch_tokens=batch_tokens)
    vectors = encoder.encode(given)
    assert vectors.shape == (50, encoder.dim)
    assert vectors.dtype == np.float32
    one_by_one = np.concatenate([encoder.encode([text]) for text in given])
    assert np.abs(vectors - one_by_one).max() < 1e-6
    assert not np.allclose(vectors[0], vectors[1])


def test_empty_and_long_texts(objective: Contrastive) -> None:
    encoder = TextEncoder(objective, "m", device="cpu")
    vectors = encoder.encode(["", "ba be", "ba " * 100_000])
    assert np.isfinite(vectors).all()
    assert np.abs(vectors[0]).sum() > 0
    cut = encoder.encode(["ba " * 10])  # 12 tokens with [CLS] and [SEP]
    assert np.abs(vectors[2] - cut[0]).max() < 1e-6
    assert encoder.encode([]).shape == (0, 16)


def test_a_prompt_stands_before_each_text(objective: Contrastive) -> None:
    encoder = TextEncoder(objective, "m", device="cpu")
    assert encoder.prompts == {"query": "ba ", "document": "da "}
    assert np.array_equal(encoder.encode(["be"], prompt="ba "), encoder.encode(["ba be"]))


def test_half_precision_is_near(objective: Contrastive, texts: Texts, tolerance: Callable[..., float]) -> None:
    exact = TextEncoder(objective, "m", device="cpu")
    half = TextEncoder(objective, "m", device="cpu", precision="bf16-mixed")
    given = texts(20)
    error = np.abs(exact.encode(given) - half.encode(given)).max()
    assert 0 < error < tolerance(torch.bfloat16) * np.abs(exact.encode(given)).max()
    assert {**exact.parts, "dtype": "bfloat16"} == half.parts


def test_parts_see_prompts_and_length(objective: Contrastive) -> None:
    def parts() -> dict[str, str]:
        return dict(TextEncoder(objective, "m", device="cpu").parts)

    first = parts()
    assert first == parts()
    objective.prefixes = PairView("other ", "da ")
    objective.max_length = 13
    second = parts()
    assert {name for name in first if first[name] != second[name]} == {"prompts", "max_length"}
    with torch.no_grad():
        next(objective.parameters()).flatten()[0] += 1
    assert parts()["weights"] != second["weights"]


def test_refusals(objective: Contrastive) -> None:
    with pytest.raises(ValueError, match="precision must be 32-true or bf16-mixed"):
        TextEncoder(objective, "m", precision="16-mixed")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="cuda is not available here: use --device cpu"):
            choose_device("cuda")


def test_name_of_a_model() -> None:
    assert model_name("runs/a/checkpoints/best.ckpt") == "a"
    assert model_name("elsewhere/b.ckpt") == "b"
