"""Rotary position embedding for packed sequences."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zoo.contracts import Layout

Rotation = tuple[Float[Tensor, "tokens half"], Float[Tensor, "tokens half"]]


def positions(layout: Layout) -> Int[Tensor, " tokens"]:
    """Position of each token in its own sequence, from 0."""
    starts = layout.cu_seqlens[:-1].repeat_interleave(layout.lengths)
    return torch.arange(len(starts), device=starts.device, dtype=starts.dtype) - starts


def rotation(layout: Layout, head_dim: int, base: float, dtype: torch.dtype = torch.float32) -> Rotation:
    """Cosine and sine of the angles `position * base^(-2 i / head_dim)`, each (T, head_dim / 2).

    Args:
        layout: offsets of the sequences.
        head_dim: size of a head, even.
        base: base of the angles.
        dtype: type of the result; half precision would confuse the positions of a long text.
    """
    exponents = torch.arange(0, head_dim, 2, device=layout.cu_seqlens.device, dtype=dtype) / head_dim
    angles = positions(layout).to(dtype)[:, None] * (base**-exponents)[None, :]
    return angles.cos(), angles.sin()


class _Rotate(torch.autograd.Function):
    """A rotation is orthogonal, so its backward pass is the rotation by the opposite angle and saves no activation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotate_halves(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotate_halves(grads[0], cos, -sin), None, None


def _rotate_halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    out = torch.empty_like(x)
    left, right = out.chunk(2, dim=-1)
    torch.mul(first, cos, out=left).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=right).addcmul_(first, sin)
    return out


def rotate(x: Float[Tensor, "tokens heads head_dim"], rotation: Rotation) -> Float[Tensor, "tokens heads head_dim"]:
    """Rotate the pairs `(x_i, x_(i + head_dim/2))` of each head by the angles of `rotation`.

    `(a, b) -> (a cos - b sin, b cos + a sin)`, the half-split layout of GPT-NeoX.

    Args:
        x: queries or keys.
        rotation: what `rotation` gave for the batch.

    References:
        Su et al., RoFormer, arXiv 2104.09864, equation 34.
    """
    cos, sin = (part[:, None, :].to(x.dtype) for part in rotation)
    rotated: Tensor = _Rotate.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return rotated
