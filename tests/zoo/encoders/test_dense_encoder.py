from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import pytest
import torch

from zoo.contracts import PackedBatch
from zoo.encoders import DenseEncoder
from zoo.encoders.dense_encoder import Norm as NormOf
from zoo.layers.learned_positions import LearnedPositions
from zoo.layers.local_rotary_positions import LocalRotaryPositions
from zoo.layers.rotary_positions import RotaryPositions

WIDTH = 16
Make = Callable[..., PackedBatch]
Norm = Literal["pre", "post"]


def build(norm: Norm = "pre", dropout: float = 0.0) -> DenseEncoder:
    torch.manual_seed(0)
    return DenseEncoder(WIDTH, num_layers=2, num_heads=2, norm=norm, dropout=dropout).double()


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("causal", [False, True])
def test_company_in_the_batch_does_not_matter(
    norm: Norm, causal: bool, make_batch: Make, assert_close: Callable[..., None]
) -> None:
    encoder = build(norm)
    lengths = [3, 3, 1, 5]
    x = torch.randn(12, WIDTH, dtype=torch.float64)
    together = encoder(x, make_batch(lengths).layout(causal=causal)).hidden.split(lengths)
    for part, hidden in zip(x.split(lengths), together, strict=True):
        alone = encoder(part, make_batch([len(part)]).layout(causal=causal)).hidden
        assert_close(hidden, alone)


@pytest.mark.parametrize("causal", [False, True])
def test_who_sees_whom(causal: bool, make_batch: Make) -> None:
    encoder = build()
    x = torch.randn(6, WIDTH, dtype=torch.float64, requires_grad=True)
    hidden = encoder(x, make_batch([4, 2]).layout(causal=causal)).hidden
    (grad,) = torch.autograd.grad(hidden[1].square().sum(), x)
    seen = (grad.abs().sum(1) > 0).tolist()
    assert seen == [True, True, not causal, not causal, False, False]


@pytest.mark.parametrize("causal", [False, True])
def test_near_layers_see_near_tokens(causal: bool, make_batch: Make) -> None:
    """Layers 1 and 2 of three see one token on each side; without layer 0 that reaches two of them."""
    torch.manual_seed(0)
    positions = partial(LocalRotaryPositions, window=1, every=3)
    encoder = DenseEncoder(WIDTH, num_layers=3, num_heads=2, positions=positions).double()
    x = torch.randn(12, WIDTH, dtype=torch.float64, requires_grad=True)
    layout = make_batch([9, 3]).layout(causal=causal)

    def seen_by_token_4() -> list[int]:
        (grad,) = torch.autograd.grad(encoder(x, layout).hidden[4].square().sum(), x)
        return [place for place, row in enumerate(grad) if row.any()]

    assert seen_by_token_4() == list(range(5 if causal else 9))
    torch.nn.init.zeros_(encoder.blocks[0].attention.out.weight)
    assert seen_by_token_4() == ([2, 3, 4] if causal else [2, 3, 4, 5, 6])


def test_company_in_the_batch_does_not_matter_to_near_layers(
    make_batch: Make, assert_close: Callable[..., None]
) -> None:
    torch.manual_seed(0)
    encoder = DenseEncoder(WIDTH, positions=partial(LocalRotaryPositions, window=2)).double()
    lengths = [3, 7, 7, 1, 12]
    x = torch.randn(30, WIDTH, dtype=torch.float64)
    together = encoder(x, make_batch(lengths).layout(causal=False)).hidden.split(lengths)
    for part, hidden in zip(x.split(lengths), together, strict=True):
        assert_close(hidden, encoder(part, make_batch([len(part)]).layout(causal=False)).hidden)


def test_order_matters(make_batch: Make) -> None:
    encoder = build()
    x = torch.randn(4, WIDTH, dtype=torch.float64)
    layout = make_batch([4]).layout(causal=False)
    assert not torch.allclose(encoder(x, layout).hidden.flip(0), encoder(x.flip(0), layout).hidden)


def test_dropout_is_for_training_only(make_batch: Make) -> None:
    encoder = build(dropout=0.5)
    x, layout = torch.randn(4, WIDTH, dtype=torch.float64), make_batch([4]).layout(causal=False)
    assert not torch.equal(encoder(x, layout).hidden, encoder(x, layout).hidden)
    encoder.eval()
    assert torch.equal(encoder(x, layout).hidden, encoder(x, layout).hidden)
    assert torch.equal(encoder(x, layout).hidden, build().eval()(x, layout).hidden)


def test_what_writes_to_the_residual_stream_starts_smaller() -> None:
    torch.manual_seed(0)
    encoder = DenseEncoder(128, num_layers=8, num_heads=4)
    block = encoder.blocks[0]
    for layer, std in [
        (block.attention.qkv, 0.02),
        (block.attention.out, 0.02 / math.sqrt(16)),
        (block.feed_forward.down, 0.02 / math.sqrt(16)),
    ]:
        assert float(layer.weight.detach().std()) == pytest.approx(std, rel=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 0}, "num_layers must be at least 1, not 0"),
        ({"num_heads": 0}, "cannot be split into 0 heads"),
        ({"num_heads": 3}, "cannot be split into 3 heads"),
        ({"num_heads": 16}, "heads of an even size, not 1"),
        ({"positions": partial(RotaryPositions, base=0.0)}, "base must be above 0, not 0.0"),
        ({"positions": partial(LearnedPositions, max_length=0)}, "max_length must be at least 1, not 0"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), not 1.0"),
        ({"dropout": -0.1}, r"dropout must lie in \[0, 1\), not -0.1"),
    ],
)
def test_sizes_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseEncoder(WIDTH, **options)


def test_the_epsilon_reaches_every_norm() -> None:
    encoder = DenseEncoder(WIDTH, norm=NormOf("pre", 0.25))
    norms = [module for module in encoder.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) == 10
    assert {norm.eps for norm in norms} == {0.25}
    assert {m.eps for m in DenseEncoder(WIDTH, norm="post").modules() if isinstance(m, torch.nn.LayerNorm)} == {1e-5}


@pytest.mark.parametrize("eps", [0.0, -1e-5])
def test_an_epsilon_that_is_not_positive(eps: float) -> None:
    with pytest.raises(ValueError, match="the eps of a norm must be above 0"):
        NormOf("post", eps)


def test_without_the_first_norm_attention_reads_the_embedded_input(
    make_batch: Make, assert_close: Callable[..., None]
) -> None:
    torch.manual_seed(0)
    encoder = DenseEncoder(WIDTH, num_layers=2, norm=NormOf("pre", first=False)).double()
    assert not any(name.startswith("layers.0.attention_norm") for name in encoder.state_dict())
    assert "layers.1.attention_norm.weight" in encoder.state_dict()
    whole = DenseEncoder(WIDTH, num_layers=2).double()
    whole.load_state_dict(encoder.state_dict(), strict=False)
    x, layout = torch.randn(4, WIDTH, dtype=torch.float64), make_batch([4]).layout(causal=False)
    for norm in (encoder.input_norm, whole.input_norm):
        torch.nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(encoder(x, layout).hidden, whole(x, layout).hidden)
    whole.blocks[0].attention_norm = torch.nn.Identity()
    assert_close(encoder(x, layout).hidden, whole(x, layout).hidden)


@pytest.mark.parametrize(
    ("bias", "of_norms", "expected"), [(False, True, True), (True, False, False), (True, None, True)]
)
def test_norms_have_the_biases_that_they_are_said_to_have(bias: bool, of_norms: bool | None, expected: bool) -> None:
    encoder = DenseEncoder(WIDTH, norm=NormOf("pre", bias=of_norms), bias=bias)
    norms = [module for module in encoder.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert {norm.bias is not None for norm in norms} == {expected}
    assert (encoder.blocks[0].attention.out.bias is not None) == bias


def test_post_norm_has_no_first_norm_to_leave_out() -> None:
    with pytest.raises(ValueError, match="norm post has no norm before the first attention: leave first as it is"):
        NormOf("post", first=False)
