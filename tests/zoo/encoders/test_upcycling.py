"""A dense encoder turned into one with mixtures that computes the same."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from zoo.contracts import PackedBatch
from zoo.encoders import DenseEncoder, MoEEncoder
from zoo.encoders.moe_encoder import Mixture
from zoo.layers.feed_forward import GELU, GeGLU, SwiGLU
from zoo.layers.learned_positions import LearnedPositions
from zoo.layers.moe.loss_free_balance import LossFreeBalance
from zoo.layers.moe.running_balance import RunningBalance

WIDTH = 16
SHARED: dict[str, Any] = {"num_layers": 3, "num_heads": 2, "bias": True}


@pytest.fixture
def batch() -> PackedBatch:
    return PackedBatch.from_sequences([list(range(n)) for n in (1, 7, 4, 12)])


def dense(feed_forward: Any, **options: Any) -> DenseEncoder:
    """Random weights everywhere, biases too."""
    torch.manual_seed(0)
    encoder = DenseEncoder(WIDTH, feed_forward=feed_forward, **SHARED, **options).double()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder.eval()


def upcycled(source: DenseEncoder, mixture: Mixture, **options: Any) -> MoEEncoder:
    encoder = MoEEncoder(WIDTH, mixture=mixture, **SHARED, **options).double().eval()
    state, new = encoder.state_from(source.state_dict())
    assert not state.keys() & set(new)
    encoder.load_state_dict({**encoder.state_dict(), **state})
    return encoder


def difference(first: Any, second: Any, batch: PackedBatch) -> float:
    x = torch.randn(len(batch.tokens), WIDTH, dtype=torch.float64)
    layout = batch.layout(causal=False)
    return float((first(x, layout).hidden - second(x, layout).hidden).abs().max().detach())


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("feed_forward", [partial(GELU, bias=True), SwiGLU, partial(GeGLU, bias=True)])
@pytest.mark.parametrize(("gates", "top_k"), [("straight_through", 1), ("straight_through", 3), ("normalised", 2)])
def test_it_computes_what_the_dense_one_does(
    gates: Any, top_k: int, feed_forward: Any, norm: Any, batch: PackedBatch
) -> None:
    source = dense(feed_forward, norm=norm)
    mixture = Mixture(4, top_k, "all", feed_forward, gates=gates, balance=LossFreeBalance)
    assert difference(source, upcycled(source, mixture, norm=norm), batch) < 1e-12


def test_raw_gates_shrink_the_blocks(batch: PackedBatch) -> None:
    """What the other tests would not see if copies were wrong by a factor."""
    source = dense(GELU)
    with pytest.warns(UserWarning, match="raw gates add up to less than 1"):
        encoder = upcycled(source, Mixture(4, 2, feed_forward=GELU, gates="raw"))
    assert difference(source, encoder, batch) > 0.01


def test_routers_learn_from_the_first_step(batch: PackedBatch) -> None:
    source = dense(GELU)
    encoder = upcycled(source, Mixture(4, 2, [1], GELU, gates="straight_through")).train()
    x = torch.randn(len(batch.tokens), WIDTH, dtype=torch.float64)
    encoder(x, batch.layout(causal=False)).hidden.square().sum().backward()
    grad = encoder.get_parameter("layers.1.feed_forward.router.linear.weight").grad
    assert grad is not None
    assert grad.abs().max() > 1e-6


def test_a_mixture_is_taken_over_as_it_is(batch: PackedBatch) -> None:
    first, second = (MoEEncoder(WIDTH, **SHARED).double().eval() for _ in range(2))
    first.pending += 1
    state, new = second.state_from(first.state_dict())
    assert new == ["pending"]
    second.load_state_dict({**second.state_dict(), **state})
    assert difference(first, second, batch) == 0
    assert not second.pending.any()


def test_what_a_balance_remembers_is_taken_from_the_same_one(batch: PackedBatch) -> None:
    options: dict[str, Any] = {**SHARED, "mixture": Mixture(4, 1, balance=LossFreeBalance)}
    first, second = (MoEEncoder(WIDTH, **options) for _ in range(2))
    first.get_buffer("balance.steps").fill_(3)
    state, new = second.state_from(first.state_dict())
    assert (state["balance.steps"] == 3).all()
    assert list(new) == ["pending"]
    other = MoEEncoder(WIDTH, **{**SHARED, "mixture": Mixture(4, 1, balance=RunningBalance)})
    state, new = other.state_from(first.state_dict())
    assert "balance.steps" not in state
    assert set(new) == {"balance.past", "pending"}


def test_a_shared_expert_has_no_dense_counterpart() -> None:
    encoder = MoEEncoder(WIDTH, mixture=Mixture(shared=GELU), **SHARED)
    with pytest.raises(ValueError, match=r"set mixture\.shared to null"):
        encoder.state_from(dense(SwiGLU).state_dict())


def test_learned_positions_can_give_way_to_rotary_ones(batch: PackedBatch) -> None:
    source = dense(GELU, positions=LearnedPositions)
    encoder = DenseEncoder(WIDTH, feed_forward=GELU, **SHARED).double().eval()
    with pytest.warns(UserWarning, match="learned positions are left out, since this encoder has RotaryPositions"):
        state, new = encoder.state_from(source.state_dict())
    assert not new
    encoder.load_state_dict(dict(state))
    name = "layers.0.attention.out.weight"
    assert torch.equal(encoder.get_parameter(name), source.get_parameter(name))
