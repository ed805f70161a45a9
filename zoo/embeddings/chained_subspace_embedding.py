"""Subspace vectors, tied to a softmax that predicts the digits of a token one after the other."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from zoo.embeddings.codes.code_assignment import CodeAssignment
from zoo.embeddings.codes.sequential_codes import SequentialCodes
from zoo.embeddings.subspace_embedding import SubspaceEmbedding
from zoo.layers.chained_subspace_table import ChainedSubspaceTable
from zoo.layers.subspace_table import SubspaceTable


class ChainedSubspaceEmbedding(SubspaceEmbedding):
    """`x_t = [T_0[c_0(t)]; T_1[c_1(t)]]`, and `p(t | h) = p(c_1 | h) p(c_0 | h, c_1)` from the same two tables.

    The tied softmax of `SubspaceEmbedding` is a product of independent softmaxes over digits; here the second digit
    knows the first one, for D^2 / 4 parameters more.

    Args:
        num_rows: V, size of the vocabulary.
        width: D, even.
        own_rows: R, tokens that keep a dense row: the special ones, then the most frequent ones.
        codes: which tokens share which blocks: `SequentialCodes`, `ClusterCodes` or `PQCodes`.
        base: n, rows of each table; null takes the smallest with which each token has codes of its own.
        init_std: standard deviation of the normal initialisation.

    Raises:
        ValueError: if the sizes do not fit together.

    References:
        A. Jaiswal and H. Liu, arXiv 2308.08688, for the tables.

    Differs from the paper:
        The paper scores with the composed table.
    """

    def __init__(
        self,
        num_rows: int,
        width: int,
        own_rows: int = 0,
        codes: Callable[[], CodeAssignment] = SequentialCodes,
        base: int | None = None,
        init_std: float = 0.02,
    ) -> None:
        super().__init__(num_rows, width, 2, own_rows, True, codes, base, init_std)

    def _build(self, num_tables: int, own_rows: int, base: int | None, init_std: float) -> SubspaceTable:
        return ChainedSubspaceTable(self.num_rows, self.width, init_std, own_rows, base)

    @property
    def output_only(self) -> tuple[nn.Parameter, ...]:
        """What shifts the second digit by the first."""
        assert isinstance(self.table, ChainedSubspaceTable)
        return tuple(self.table.follow.parameters())
