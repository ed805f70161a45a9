"""The pull of the augmented loss at a high temperature, without any work of rows times tokens."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


class _QuadraticDivergence(torch.autograd.Function):
    """Gradients are taken in the forward pass: by autograd a table that is teacher and student is multiplied thrice."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, teacher: Tensor, targets: Tensor, scale: float, dtype: torch.dtype
    ) -> Tensor:
        h, u = hidden.to(dtype), teacher[targets].to(dtype)
        rows = (weight - weight.mean(0)).to(dtype)
        own = rows.T @ rows
        if teacher is weight:
            others, cross, theirs = rows, own, own
            grad_weight = rows @ (h.T @ h - u.T @ h)
        else:
            others = (teacher - teacher.mean(0)).to(dtype)
            cross, theirs = rows.T @ others, others.T @ others
            grad_weight = rows @ (h.T @ h) - others @ (u.T @ h)
        pulled = h @ own - u @ cross.T
        constant = u @ theirs - h @ cross
        value = (pulled * h).sum(dtype=weight.dtype) + (constant * u).sum(dtype=weight.dtype)
        ctx.save_for_backward(pulled, grad_weight)
        ctx.scale, ctx.dtypes = scale, (hidden.dtype, weight.dtype)
        return value * (scale / 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        pulled, grad_weight = ctx.saved_tensors
        scale = grads[0] * ctx.scale
        hidden_dtype, dtype = ctx.dtypes
        # scaled before it is rounded: in half precision the scale itself can be too small a number
        return (pulled.to(dtype) * scale).to(hidden_dtype), grad_weight.to(dtype) * scale, None, None, None, None


def quadratic_divergence(
    hidden: Float[Tensor, "rows dim"],
    weight: Float[Tensor, "vocab dim"],
    teacher: Float[Tensor, "vocab dim"],
    targets: Int[Tensor, " rows"],
    temperature: float = 20.0,
) -> Float[Tensor, ""]:
    """The limit of `KL(softmax(L l_y / tau) || softmax(W h / tau))` for a high temperature; the teacher is detached.

    `(h' S_WW h - 2 h' S_WL u + u' S_LL u) / (2 tau^2)`, mean over rows, with `u = l_y` and the covariances
    `S_AB = (A - mean A)' (B - mean B) / V` of the rows of the tables: O(V D^2 + N D^2). Products run in the autocast
    type. The result can be differentiated once.

    Args:
        hidden: N vectors h.
        weight: the output table W.
        teacher: the input table L; the same tensor where they are tied.
        targets: N class ids y.
        temperature: tau; the relative error of the gradient falls as 1 / tau.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    scale = 1 / (temperature**2 * len(weight) * len(targets))
    with torch.autocast(device, enabled=False):
        value: Tensor = _QuadraticDivergence.apply(hidden, weight, teacher, targets, scale, dtype)  # type: ignore[no-untyped-call]
    return value
