from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from zoo.layers.feed_forward import GELU
from zoo.layers.moe import stacked_linear
from zoo.layers.moe.mixture_of_experts import MixtureOfExperts


def layer(top_k: int = 2) -> MixtureOfExperts:
    torch.manual_seed(0)
    return MixtureOfExperts(16, partial(GELU, dim=32, bias=True), 4, top_k)


@pytest.mark.parametrize("kernel", [False, True])
def test_autocast_runs_experts_in_its_type_and_the_router_in_its_own(
    kernel: bool, monkeypatch: pytest.MonkeyPatch, assert_close: Callable[..., None]
) -> None:
    monkeypatch.setattr(stacked_linear, "prefers_grouped", lambda x, weight: kernel)
    one = layer()
    seen: list[Tensor] = []
    for part in (one.up, one.down):
        part.register_forward_hook(lambda module, inputs, output: seen.extend([inputs[0], output]))
    x = torch.randn(20, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, routing = one(x)
        out.sum().backward()
    exact, expected = layer()(x)
    assert {tensor.dtype for tensor in [*seen, out]} == {torch.bfloat16}
    assert {routing.logits.dtype, routing.gates.dtype} == {torch.float32}
    assert torch.equal(routing.logits, expected.logits)
    assert_close(out, exact, torch.bfloat16)
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in one.parameters())


def test_the_order_of_tokens_and_of_experts_does_not_matter(assert_close: Callable[..., None]) -> None:
    one, x = layer().double(), torch.randn(9, 16, dtype=torch.float64)
    order, experts = torch.randperm(9), torch.randperm(4)
    expected = one(x)[0]
    assert_close(one(x[order])[0], expected[order])
    for parameter in (one.router.linear.weight, one.up.weight, one.up.bias, one.down.weight):
        assert parameter is not None
        parameter.data = parameter.data[experts]
    assert_close(one(x)[0], expected)


@pytest.mark.parametrize("bias", [False, True])
def test_the_first_bias_can_be_left_out(bias: bool, assert_close: Callable[..., None]) -> None:
    torch.manual_seed(0)
    one = MixtureOfExperts(16, partial(GELU, dim=32, bias=bias), 4, 2, up_bias=False).double()
    assert one.up.bias is None
    assert (one.bias is not None) == bias
    other = MixtureOfExperts(16, partial(GELU, dim=32, bias=bias), 4, 2).double()
    assert (other.up.bias is not None) == bias
    if other.up.bias is not None:
        nn.init.zeros_(other.up.bias)
    other.load_state_dict(one.state_dict(), strict=False)
    x = torch.randn(9, 16, dtype=torch.float64)
    assert_close(one(x)[0], other(x)[0])


def train(model: nn.Module, x: Tensor, labels: Tensor, head: nn.Linear, norm: nn.LayerNorm, steps: int) -> float:
    """Accuracy after training a residual block to know labels by heart."""
    parameters = [*model.parameters(), *head.parameters(), *norm.parameters()]
    optimizer = torch.optim.AdamW(parameters, 0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, steps)

    def scores(x: Tensor) -> Tensor:
        update = model(x)
        found: Tensor = head(norm(x + (update[0] if isinstance(update, tuple) else update)))
        return found

    for _ in range(steps):
        rows = torch.randint(len(x), (512,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(scores(x[rows]), labels[rows]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return float((scores(x).argmax(1) == labels).float().mean())


def test_knows_three_times_as_many_facts_as_a_dense_block_of_equal_compute() -> None:
    torch.manual_seed(0)
    width, facts, kinds = 32, 2048, 64
    x, labels = torch.randn(facts, width), torch.randint(kinds, (facts,))
    accuracy = {}
    for name, block in {
        "dense": GELU(width, width),
        "mixture": MixtureOfExperts(width, partial(GELU, dim=width), 8, 1),
    }.items():
        torch.manual_seed(1)
        accuracy[name] = train(block, x, labels, nn.Linear(width, kinds), nn.LayerNorm(width), 200)
    assert accuracy["mixture"] >= 3 * accuracy["dense"], accuracy
