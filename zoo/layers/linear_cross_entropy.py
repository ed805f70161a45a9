"""Exact cross-entropy of a linear layer without its (N, V) scores in memory."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Scores of one chunk of rows held at a time, in numbers. Chunks below ~100 rows starve the matrix product.
_CHUNK_ELEMENTS = 8_000_000
_MIN_ROWS = 128


def chunk_rows(num_classes: int) -> int:
    """How many rows are scored at a time against `num_classes` classes."""
    return max(_MIN_ROWS, _CHUNK_ELEMENTS // num_classes)


class _LinearCrossEntropy(torch.autograd.Function):
    """The gradient is a by-product of the scores, so it is taken chunk by chunk in the forward pass.

    `torch.nn.functional.linear_cross_entropy` (torch 2.13, chunked) does the same; on a CPU it measured 1.6 times
    (V = 8,192, float32) to 8 times (V = 50,000, bfloat16) slower than this, and torch 2.11 and 2.12 do not have it.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, dtype: torch.dtype
    ) -> Tensor:
        rows, total = chunk_rows(len(weight)), len(targets)
        grad_hidden = torch.empty_like(hidden, dtype=dtype)
        # sums in the parameters' own type whatever the products run in: many chunks are added up
        nll = hidden.new_zeros((), dtype=weight.dtype)
        grad_weight = torch.zeros_like(weight)
        grad_bias = None if bias is None else torch.zeros_like(bias)
        factor = weight.to(dtype)
        for start in range(0, total, rows):
            x, y = hidden[start : start + rows].to(dtype), targets[start : start + rows]
            scores = (x @ factor.T).to(weight.dtype)
            if bias is not None:
                scores += bias
            log_normaliser = scores.logsumexp(-1, keepdim=True)
            picked = y[:, None]
            nll += (log_normaliser - scores.gather(1, picked)).sum()
            error = scores.sub_(log_normaliser).exp_()
            error.scatter_add_(1, picked, torch.full_like(picked, -1, dtype=error.dtype))
            if grad_bias is not None:
                grad_bias += error.sum(0)
            error = error.to(dtype)
            torch.mm(error, factor, out=grad_hidden[start : start + rows])
            _add_product(grad_weight, error.T, x)
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.total, ctx.hidden_dtype = total, hidden.dtype
        return nll / total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        scale = grads[0] / ctx.total
        bias = None if grad_bias is None else grad_bias * scale
        # in place: these buffers are ours, and the table's is the largest of the step
        return grad_hidden.mul_(scale).to(ctx.hidden_dtype), grad_weight.mul_(scale), bias, None, None, None


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def linear_cross_entropy(
    hidden: Float[Tensor, "rows dim"],
    weight: Float[Tensor, "vocab dim"],
    targets: Int[Tensor, " rows"],
    bias: Float[Tensor, " vocab"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over rows of `logsumexp(W h + b) - (W h + b)_target`, in nats.

    At most `chunk_rows(V)` rows of scores exist at a time; products run in the autocast type, sums in the table's.
    The result can be differentiated once, and only where gradients are recorded; use `log_probs` of a head elsewhere.

    Args:
        hidden: N vectors.
        weight: the output table.
        targets: N class ids.
        bias: one number a class.

    Raises:
        ValueError: if there is no row.
    """
    if len(targets) == 0:
        raise ValueError("cross-entropy needs at least one target: the batch holds none")
    device = hidden.device.type
    product_dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    with torch.autocast(device, enabled=False):
        loss: Tensor = _LinearCrossEntropy.apply(hidden, weight, bias, targets, product_dtype)  # type: ignore[no-untyped-call]
    return loss
