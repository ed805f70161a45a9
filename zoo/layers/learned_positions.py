"""Positions as learned vectors, one a place."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contracts import Layout
from zoo.layers.positions import Positions
from zoo.layers.rotary import positions


class LearnedPositions(Positions):
    """`x_i + p_i` with a learned vector p_i for each of `max_length` places, as BERT has them.

    Args:
        width: D.
        head_dim: size of a head; not used.
        max_length: number of places; a longer text is refused.

    Raises:
        ValueError: if `max_length` is less than 1; when called with a longer text.

    References:
        Devlin et al., BERT, arXiv 1810.04805, section 3.
    """

    # A bias for each place: the rows of late places get gradients as rarely as those of rare tokens, so decay would
    # pull them to 0; and they are no rows of the vocabulary, whose mean an optimizer may couple.
    parameter_role: ClassVar[str] = "vector"

    def __init__(self, width: int, head_dim: int, max_length: int = 512) -> None:
        super().__init__()
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, not {max_length}")
        self.max_length = max_length
        self.weight = nn.Parameter(torch.empty(max_length, width).normal_(std=0.02))

    def forward(self, x: Float[Tensor, "tokens dim"], layout: Layout) -> Float[Tensor, "tokens dim"]:
        """The input plus the vector of each token's place."""
        if layout.max_seqlen > self.max_length:
            raise ValueError(
                f"a text of {layout.max_seqlen} tokens has no place among {self.max_length} LearnedPositions: "
                f"set data.max_length to at most {self.max_length}, or max_length of the positions to more"
            )
        return x + F.embedding(positions(layout), self.weight)

    def rotation(self, layout: Layout, dtype: torch.dtype) -> None:
        """Nothing is rotated."""
