"""The ways to run the experts agree with a loop over experts, in values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.layers.moe.groups import Groups
from zoo.layers.moe.stacked_linear import grouped, prefers_grouped, sliced

INPUTS, OUTPUTS, EXPERTS = 16, 24, 4
CHOICES = {
    "some": torch.tensor([[0, 2], [2, 3], [3, 0], [2, 0], [3, 2]]),  # expert 1 gets nothing
    "one takes all": torch.full((6, 1), 2),
    "one token": torch.tensor([[3, 1]]),
}
Close = Callable[..., None]


def naive(x: Tensor, experts: Tensor, weight: Tensor, bias: Tensor | None, gates: Tensor) -> Tensor:
    """A loop over experts and choices with everyday functions."""
    out = torch.zeros(len(x), weight.shape[1], dtype=x.dtype)
    for expert in range(len(weight)):
        for choice in range(experts.shape[1]):
            tokens = (experts[:, choice] == expert).nonzero().squeeze(1)
            y = F.linear(x[tokens], weight[expert].to(x.dtype), None if bias is None else bias[expert].to(x.dtype))
            out = out.index_add(0, tokens, (gates[tokens, choice, None] * y).to(x.dtype))
    return out


def leaves(tokens: int, choices: int, dtype: torch.dtype, weight_dtype: torch.dtype, bias: bool) -> list[Tensor]:
    """x, weight, gates and perhaps bias, the same at each call."""
    random = torch.Generator().manual_seed(0)
    shapes = [(tokens, INPUTS), (EXPERTS, OUTPUTS, INPUTS), (tokens, choices), (EXPERTS, OUTPUTS)][: 3 + bias]
    wide = torch.promote_types(weight_dtype, torch.float32)
    return [
        torch.randn(shape, generator=random).to(kind).requires_grad_()
        for shape, kind in zip(shapes, [dtype, weight_dtype, wide, weight_dtype], strict=False)
    ]


@pytest.mark.parametrize("product", [sliced, grouped])
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("dtype", "weight_dtype"),
    [(torch.float64, torch.float64), (torch.float32, torch.float32), (torch.bfloat16, torch.float32)],
)
def test_agrees_with_a_loop(
    product: Any, choice: str, bias: bool, dtype: torch.dtype, weight_dtype: torch.dtype, assert_close: Close
) -> None:
    experts = CHOICES[choice]
    if product is grouped and dtype == torch.float64:
        return  # which grouped_mm has not: nothing chooses it there
    x, weight, gates, *rest = leaves(len(experts), experts.shape[1], dtype, weight_dtype, bias)
    groups = Groups.of(experts, EXPERTS)
    out = groups.combine(product(groups.spread(x), weight, rest[0] if rest else None, groups), gates)
    exact = [t.detach().double().requires_grad_() for t in (x, weight, gates, *rest)]
    right = naive(exact[0], experts, exact[1], exact[3] if bias else None, exact[2])
    assert out.dtype == dtype
    assert_close(out, right, dtype)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    (out * direction.to(dtype)).sum().backward()
    (right * direction.to(dtype).double()).sum().backward()
    for found, expected in zip((x, weight, gates, *rest), exact, strict=True):
        assert found.grad is not None, "DDP would wait for it"
        assert found.grad.dtype == found.dtype
        assert expected.grad is not None
        assert_close(found.grad, expected.grad, dtype)
    unused = sorted(set(range(EXPERTS)) - set(experts.flatten().tolist()))
    assert weight.grad is not None
    assert not weight.grad[unused].any()


@pytest.mark.parametrize("product", [sliced, grouped])
def test_no_token_still_gives_gradients(product: Any) -> None:
    x, weight, gates, bias = leaves(0, 2, torch.float32, torch.float32, True)
    groups = Groups.of(torch.zeros(0, 2, dtype=torch.int64), EXPERTS)
    out = groups.combine(product(groups.spread(x), weight, bias, groups), gates)
    assert out.shape == (0, OUTPUTS)
    out.sum().backward()
    for tensor in (weight, bias):
        assert tensor.grad is not None
        assert not tensor.grad.any()


def test_gradients_are_derivatives() -> None:
    experts = CHOICES["some"]
    x, weight, gates, bias = leaves(len(experts), experts.shape[1], torch.float64, torch.float64, True)
    groups = Groups.of(experts, EXPERTS)

    def run(x: Tensor, weight: Tensor, gates: Tensor, bias: Tensor) -> Tensor:
        return groups.combine(sliced(groups.spread(x), weight, bias, groups), gates)

    assert torch.autograd.gradcheck(run, (x, weight[:, :3].detach().requires_grad_(), gates, bias[:, :3]))


class OnCuda(torch.Tensor):
    """A tensor that says that it is on a GPU."""

    is_cuda = True


@pytest.mark.parametrize(
    ("dtype", "capability", "inputs", "expected"),
    [
        (torch.bfloat16, (9, 0), 16, True),
        (torch.bfloat16, (8, 0), 16, True),
        (torch.bfloat16, (7, 5), 16, False),
        (torch.bfloat16, (9, 0), 12, False),
        (torch.float32, (9, 0), 16, False),
        (torch.float16, (9, 0), 16, False),
    ],
)
def test_the_kernel_is_chosen_by_device_and_type(
    dtype: torch.dtype, capability: tuple[int, int], inputs: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    x, weight = torch.zeros(2, inputs, dtype=dtype), torch.zeros(EXPERTS, OUTPUTS, inputs)
    assert prefers_grouped(x.as_subclass(OnCuda), weight) == expected
    assert not prefers_grouped(x, weight)
