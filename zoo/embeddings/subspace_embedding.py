"""Vectors of concatenated blocks from a few short tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.contracts import OutputTable, TokenEmbedding, Vocabulary
from zoo.embeddings.codes.code_assignment import CodeAssignment
from zoo.embeddings.codes.sequential_codes import SequentialCodes
from zoo.layers.subspace_table import SubspaceTable


class SubspaceEmbedding(TokenEmbedding):
    """`x_t = [T_0[c_0(t)]; ...; T_{f-1}[c_{f-1}(t)]]`: f tables of n x D/f address V <= n^f tokens by their codes.

    n D parameters in place of V D, and R rows of their own for special and frequent tokens.

    Args:
        num_rows: V, size of the vocabulary.
        width: D, a multiple of `num_tables`.
        num_tables: f.
        own_rows: R, tokens that keep a dense row: the special ones, then the most frequent ones.
        tied: whether the head scores with the same tables; else it has a full table of its own.
        codes: which tokens share which blocks: `SequentialCodes`, `ClusterCodes`, `PQCodes` or `ReclusterCodes`.
        base: n, rows of each table; null takes the smallest with which each token has codes of its own.
        init_std: standard deviation of the normal initialisation.

    Raises:
        ValueError: if the sizes do not fit together.

    References:
        A. Jaiswal and H. Liu, Lightweight Adaptation of Neural Language Models via Subspace Embedding,
        arXiv 2308.08688.
    """

    def __init__(
        self,
        num_rows: int,
        width: int,
        num_tables: int = 2,
        own_rows: int = 0,
        tied: bool = False,
        codes: Callable[[], CodeAssignment] = SequentialCodes,
        base: int | None = None,
        init_std: float = 0.02,
    ) -> None:
        super().__init__()
        self.num_rows, self.width, self.init_std, self.tied = num_rows, width, init_std, tied
        self.table = self._build(num_tables, own_rows, base, init_std)
        self._codes = codes()
        self._codes.prepare(self.table)

    def _build(self, num_tables: int, own_rows: int, base: int | None, init_std: float) -> SubspaceTable:
        return SubspaceTable(self.num_rows, self.width, init_std, num_tables, own_rows, base)

    def use_vocabulary(self, vocabulary: Vocabulary, counts: Tensor, trained: Tensor | None = None) -> None:
        """Assign the codes."""
        self._codes.assign(self.table, vocabulary, counts, trained)

    @property
    def knows_frequencies(self) -> bool:
        """Where it is tied: by own rows, or by digits that follow the frequencies."""
        return not self.tied or self.table.own_rows > 0 or self._codes.follows_frequency

    def before_step(self, step: int, total_steps: int) -> Sequence[nn.Parameter]:
        """Let the assignment change the codes."""
        return self._codes.before_step(self.table, step, total_steps)

    def forward(self, tokens: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens dim"]:
        """The composed rows of `tokens`."""
        return self.table.rows(tokens)

    def output_table(self) -> OutputTable | None:
        """The tables, where they are tied."""
        return self.table if self.tied else None

    @property
    def facts(self) -> dict[str, int]:
        """Sizes, with the base n and the largest rank that the composed table can have."""
        return {**super().facts, "base": self.table.base, "rank_bound": self.table.rank_bound}
