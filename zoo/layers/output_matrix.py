"""A table of one row a token, for a head of its own or for both sides of a tied vocabulary."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contracts import OutputTable


class OutputMatrix(OutputTable):
    """A V x D parameter.

    Args:
        num_rows: V, size of the vocabulary.
        width: D.
        init_std: standard deviation of the normal initialisation.
    """

    def __init__(self, num_rows: int, width: int, init_std: float = 0.02) -> None:
        super().__init__()
        self.num_rows, self.width = num_rows, width
        self.matrix = nn.Parameter(torch.empty(num_rows, width))
        nn.init.normal_(self.matrix, std=init_std)

    def weight(self) -> Float[Tensor, "vocab dim"]:
        """The table itself."""
        return self.matrix

    def rows(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        """The rows of `ids`."""
        return F.embedding(ids, self.matrix)
