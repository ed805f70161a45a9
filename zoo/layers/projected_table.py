"""A table of narrow rows behind a projection."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.contracts import OutputTable
from zoo.layers.output_matrix import OutputMatrix


class ProjectedTable(OutputTable):
    """Scores `L A h + b` with a table L of V x E and a projection A of E x D: V E + E D numbers in place of V D.

    Args:
        num_rows: V, size of the vocabulary.
        width: D, of the vectors h.
        init_std: standard deviation of the normal initialisation of L.
        dim: E.

    References:
        Inan, Khosravi and Socher, Tying Word Vectors and Word Classifiers, arXiv 1611.01462, section 4.
    """

    def __init__(self, num_rows: int, width: int, init_std: float = 0.02, dim: int = 64) -> None:
        super().__init__()
        self.num_rows, self.width = num_rows, width
        self.table = OutputMatrix(num_rows, dim, init_std)
        self.project = nn.Linear(width, dim, bias=False)

    def weight(self) -> Float[Tensor, "vocab dim"]:
        """L A, V x D, in the type of the parameters."""
        # what is made of all rows adds up many products
        with torch.autocast(self.table.matrix.device.type, enabled=False):
            return self.table.matrix @ self.project.weight

    def rows(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        """Rows of L A."""
        return self.table.rows(ids) @ self.project.weight

    def cross_entropy(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats.

        Raises:
            ValueError: if there is no row.
        """
        return self.table.cross_entropy(self.project(hidden), targets, bias)

    def log_probs(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Log-probability of each target in nats, at least float32."""
        return self.table.log_probs(self.project(hidden), targets, bias)

    def topk(
        self, hidden: Float[Tensor, "rows dim"], k: int, bias: Float[Tensor, " vocab"] | None = None
    ) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""
        return self.table.topk(self.project(hidden), k, bias)

    def ranks(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Int[Tensor, " rows"]:
        """How many tokens score at least as high as each target, itself included."""
        with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
            wide = hidden.to(torch.promote_types(hidden.dtype, self.project.weight.dtype))
            return self.table.ranks(self.project(wide), targets, bias)

    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        bias: Float[Tensor, " vocab"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """One id a row."""
        return self.table.sample(self.project(hidden), bias, generator)
