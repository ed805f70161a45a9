"""One row of its own for each token, on the input side only."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contracts import OutputTable, TokenEmbedding


class FullEmbedding(TokenEmbedding):
    """`x_t = E[token_t]` with a table E of V x D; the output head owns a second table.

    Args:
        num_rows: V, size of the vocabulary.
        width: D.
        init_std: standard deviation of the normal initialisation, of a table that the head owns too.
        unit_rows: whether every row is divided by its length when it is looked up.
    """

    def __init__(self, num_rows: int, width: int, init_std: float = 0.02, unit_rows: bool = False) -> None:
        super().__init__()
        self.num_rows, self.width, self.init_std, self.unit_rows = num_rows, width, init_std, unit_rows
        self.weight = nn.Parameter(torch.empty(num_rows, width))
        nn.init.normal_(self.weight, std=init_std)

    def forward(self, tokens: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens dim"]:
        """The rows of `tokens`."""
        rows = F.embedding(tokens, self.weight)
        return F.normalize(rows, dim=-1) if self.unit_rows else rows

    def output_table(self) -> OutputTable | None:
        """None: nothing is shared."""
        return None
