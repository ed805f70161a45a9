"""One table for both sides of the vocabulary."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from zoo.contracts import OutputTable, TokenEmbedding
from zoo.layers.output_matrix import OutputMatrix


class TiedEmbedding(TokenEmbedding):
    """`x_t = E[token_t]` and scores `E h`, with one parameter E of V x D.

    Args:
        num_rows: V, size of the vocabulary.
        width: D.
        init_std: standard deviation of the normal initialisation.

    References:
        Inan, Khosravi and Socher, Tying Word Vectors and Word Classifiers, arXiv 1611.01462, section 4.
        Press and Wolf, Using the Output Embedding to Improve Language Models, arXiv 1608.05859.
    """

    def __init__(self, num_rows: int, width: int, init_std: float = 0.02) -> None:
        super().__init__()
        self.num_rows, self.width = num_rows, width
        self.table = OutputMatrix(num_rows, width, init_std)

    def forward(self, tokens: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens dim"]:
        """The rows of `tokens`."""
        return self.table.rows(tokens)

    def output_table(self) -> OutputTable:
        """The one table, which the head multiplies with."""
        return self.table
