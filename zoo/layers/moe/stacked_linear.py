"""Linear maps of one shape, each for rows of its own, and the two ways to run them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from zoo.layers.moe.groups import Groups

Rows = Float[Tensor, "rows inputs"]
Weight = Float[Tensor, "experts outputs inputs"]
Bias = Float[Tensor, "experts outputs"] | None
Out = Float[Tensor, "rows outputs"]


class StackedLinear(nn.Module):
    """`y_r = W_e x_r + b_e` for the rows r of expert e.

    All maps are one parameter, so the gradient of an expert without rows is 0 rather than missing, on every process.

    Args:
        num_experts: E.
        inputs: size of x.
        outputs: size of y.
        bias: whether there are biases.
    """

    # leading dimensions that number copies: a stack of biases is still a stack of vectors
    stacked_dims: ClassVar[int] = 1

    def __init__(self, num_experts: int, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_experts, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(num_experts, outputs)) if bias else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5)  # as nn.Linear

    def forward(self, x: Rows, groups: Groups) -> Out:
        """The maps, in the type of `x`."""
        product = grouped if prefers_grouped(x, self.weight) else sliced
        return product(x, self.weight, self.bias, groups)


def prefers_grouped(x: Rows, weight: Weight) -> bool:
    """Whether `grouped` is the faster one: on CUDA in bfloat16, where it is one kernel and needs no wait for sizes.

    Its rows must begin at multiples of 16 bytes, and the device be of compute capability 8.0 or more. In all other
    types and on all other devices `F.grouped_mm` is a loop too, or missing.
    """
    if not x.is_cuda or x.dtype != torch.bfloat16 or any(size % 8 for size in weight.shape[1:]):
        return False
    return torch.cuda.get_device_capability(x.device) >= (8, 0)


def grouped(x: Rows, weight: Weight, bias: Bias, groups: Groups) -> Out:
    """All products by `F.grouped_mm`, which knows no autocast and no bias; float32, bfloat16 or float16."""
    offsets = groups.counts.cumsum(0, dtype=torch.int32)
    out = F.grouped_mm(x, weight.to(x.dtype).transpose(-2, -1), offs=offsets)
    if bias is None:
        return out
    return out + bias.to(x.dtype).repeat_interleave(groups.counts, 0, output_size=len(x))


def sliced(x: Rows, weight: Weight, bias: Bias, groups: Groups) -> Out:
    """One product an expert over its contiguous rows, any floating type."""
    out: Tensor = _Sliced.apply(x, weight, bias, groups.sizes)  # type: ignore[no-untyped-call]
    return out


class _Sliced(torch.autograd.Function):
    """Writes into whole tensors; autograd would pad the gradient of each expert with zeros to the size of all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Sequence[int]) -> Tensor:
        cast = weight.to(x.dtype)
        ctx.save_for_backward(x, cast)
        ctx.sizes, ctx.dtypes = sizes, (weight.dtype, None if bias is None else bias.dtype)
        out = x.new_empty(len(x), weight.shape[1])
        for expert, rows in _slices(sizes):
            torch.mm(x[rows], cast[expert].T, out=out[rows])
            if bias is not None:
                out[rows] += bias[expert].to(x.dtype)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dtype, bias_dtype = ctx.dtypes
        grad, grad_x, grad_weight = grad.contiguous(), torch.empty_like(x), torch.empty_like(weight, dtype=dtype)
        grad_bias = None if bias_dtype is None else weight.new_zeros(weight.shape[:2], dtype=bias_dtype)
        for expert, rows in _slices(ctx.sizes):
            part = grad[rows]
            torch.mm(part, weight[expert], out=grad_x[rows])
            if dtype == x.dtype:
                torch.mm(part.T, x[rows], out=grad_weight[expert])
            else:
                grad_weight[expert] = part.T @ x[rows]
            if grad_bias is not None:
                grad_bias[expert] = part.sum(0)
        for expert in (number for number, size in enumerate(ctx.sizes) if not size):
            grad_weight[expert].zero_()
        return grad_x, grad_weight, grad_bias, None


def _slices(sizes: Sequence[int]) -> Iterator[tuple[int, slice]]:
    """Experts that have rows, and where these stand."""
    start = 0
    for expert, size in enumerate(sizes):
        if size:
            yield expert, slice(start, start + size)
        start += size
