"""One table for both sides of the vocabulary."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.contracts import OutputTable, TokenEmbedding
from zoo.layers.output_matrix import OutputMatrix
from zoo.layers.projected_table import ProjectedTable


class TiedEmbedding(TokenEmbedding):
    """`x_t = L[token_t]` and scores `L h`, with one parameter L of V x D.

    With rows of another size E than D: `x_t = P L[token_t]` and scores `L A h`, with L of V x E, P of D x E and A of
    E x D. The bias of the scores belongs to the head.

    Args:
        num_rows: V, size of the vocabulary.
        width: D.
        init_std: standard deviation of the normal initialisation.
        dim: E; null is D, without projections.

    Raises:
        ValueError: if `dim` is below 1.

    References:
        Inan, Khosravi and Socher, Tying Word Vectors and Word Classifiers, arXiv 1611.01462, section 4.
        Press and Wolf, Using the Output Embedding to Improve Language Models, arXiv 1608.05859.
        Lan et al., ALBERT, arXiv 1909.11942, for P.
    """

    def __init__(self, num_rows: int, width: int, init_std: float = 0.02, dim: int | None = None) -> None:
        super().__init__()
        if dim is not None and dim < 1:
            raise ValueError(f"dim={dim}: rows of the table need at least one number; null gives them {width}")
        self.num_rows, self.width, self.init_std = num_rows, width, init_std
        self.table: OutputTable
        if dim is None or dim == width:
            self.table, self.widen = OutputMatrix(num_rows, width, init_std), None
        else:
            self.table, self.widen = ProjectedTable(num_rows, width, init_std, dim), nn.Linear(dim, width, bias=False)

    def forward(self, tokens: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens dim"]:
        """The rows of `tokens`, projected where they are of another size."""
        if self.widen is None:
            return self.table.rows(tokens)
        assert isinstance(self.table, ProjectedTable)
        widened: Tensor = self.widen(self.table.table.rows(tokens))
        return widened

    @property
    def output_only(self) -> tuple[nn.Parameter, ...]:
        """A, where there is one."""
        return tuple(self.table.project.parameters()) if isinstance(self.table, ProjectedTable) else ()

    def use_output_table(self, table: OutputTable) -> None:
        """Look rows up in `table`, which has the same shape."""
        self.table = table

    def output_table(self) -> OutputTable:
        """The one table, which the head multiplies with."""
        return self.table
