"""Positions as angles between queries and keys."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.contracts import Layout
from zoo.layers.positions import Positions
from zoo.layers.rotary import Rotation, rotation


class RotaryPositions(Positions):
    """Queries and keys are rotated by their places, so that scores depend on distances only; for texts of any length.

    Args:
        width: D.
        head_dim: size of a head, even.
        base: base of the angles `place * base^(-2 i / head_dim)`; larger for longer texts.

    Raises:
        ValueError: if `head_dim` is odd or `base` not positive.

    References:
        Su et al., RoFormer, arXiv 2104.09864, equation 34.
    """

    def __init__(self, width: int, head_dim: int, base: float = 10_000.0) -> None:
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"rotary positions need heads of an even size, not {head_dim}: change width or num_heads")
        if base <= 0:
            raise ValueError(f"base must be above 0, not {base}")
        self.head_dim = head_dim
        self.base = base

    def forward(self, x: Float[Tensor, "tokens dim"], layout: Layout) -> Float[Tensor, "tokens dim"]:
        """The input as it is."""
        return x

    def rotation(self, layout: Layout, dtype: torch.dtype) -> Rotation:
        """Cosine and sine of the angles of each token."""
        return rotation(layout, self.head_dim, self.base, torch.promote_types(dtype, torch.float32))
