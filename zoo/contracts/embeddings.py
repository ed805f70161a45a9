"""The vocabulary side: tables that scores are taken with, and vectors of tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.contracts.batches import Vocabulary
from zoo.contracts.self_updating import SelfUpdating


class OutputTable(nn.Module, ABC):
    """The output side of a vocabulary: one vector a token, as a module, because sharding replaces bare tensors."""

    parameter_role: ClassVar[str] = "vocabulary"
    # whether the scores are W h + b, so that `weight` says all of them
    scores_are_products: ClassVar[bool] = True
    num_rows: int
    width: int

    @property
    def table_rows(self) -> tuple[int, ...]:
        """Rows of the tables that each of its own parameters holds one after the other; more rows are padding."""
        return (self.num_rows,)

    @property
    def keeps_zero_sum(self) -> bool:
        """Whether a gradient that sums to 0 over all tokens also does so over the rows of each parameter's tables."""
        return True

    @abstractmethod
    def weight(self) -> Float[Tensor, "vocab dim"]:
        """The whole table, differentiable."""

    @abstractmethod
    def rows(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        """The vectors of `ids`, without the rest of the table."""

    @abstractmethod
    def cross_entropy(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over rows of `-log softmax(W h + b)_target` in nats, for training; never obliged to build (N, V) scores.

        Raises:
            ValueError: if there is no row.
        """

    @abstractmethod
    def log_probs(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """`log softmax(W h + b)_target` of each row in nats, at least float32."""

    @abstractmethod
    def topk(
        self, hidden: Float[Tensor, "rows dim"], k: int, bias: Float[Tensor, " vocab"] | None = None
    ) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""

    @abstractmethod
    def ranks(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Int[Tensor, " rows"]:
        """How many tokens score at least as high as each target, itself included; as `OutputHead.ranks`."""

    @abstractmethod
    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        bias: Float[Tensor, " vocab"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """One id a row, drawn from `softmax(W h + b)`; a generator on the device of `hidden`, or the global one."""


class TokenEmbedding(nn.Module, ABC):
    """Token ids to vectors. Built by an objective as `factory(vocab_size, width)`.

    Attributes:
        num_rows: V.
        width: D.
        init_std: standard deviation of the initial rows; a head that owns a table starts it with the same.
    """

    parameter_role: ClassVar[str] = "vocabulary"
    vocabulary_side: ClassVar[str] = "input"
    num_rows: int
    width: int
    init_std: float = 0.02

    @property
    def table_rows(self) -> tuple[int, ...]:
        """Rows of the tables that each of its own parameters holds one after the other; more rows are padding."""
        return (self.num_rows,)

    @abstractmethod
    def forward(self, tokens: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens dim"]:
        """The vectors of `tokens`."""

    @abstractmethod
    def output_table(self) -> OutputTable | None:
        """The module that a tied head multiplies with, or None where the head must own a table."""

    @property
    def knows_frequencies(self) -> bool:
        """Whether a softmax over its own table can express how frequent tokens are without a bias of theirs."""
        return True

    @property
    def output_only(self) -> tuple[nn.Parameter, ...]:
        """Parameters that nothing but the output side uses; an objective without one does not train them."""
        return ()

    def use_vocabulary(
        self,
        vocabulary: Vocabulary,
        counts: Int[Tensor, " vocab"],
        trained: Float[Tensor, "vocab dim"] | None = None,
    ) -> None:
        """Told once, before training begins: size, special ids, and how often each token occurs in the texts.

        Args:
            vocabulary: of the texts.
            counts: how often each token occurs in them.
            trained: vectors of the model that training starts from, where there is one with a full table.
        """

    def before_step(self, step: int, total_steps: int) -> Sequence[nn.Parameter]:
        """Told before each training step; returns the parameters that were set anew, whose optimizer state is void.

        Args:
            step: optimizer steps done.
            total_steps: of the whole run.
        """
        return ()

    def use_output_table(self, table: OutputTable) -> None:
        """Look rows up in `table` from now on: a head took over the table that both share.

        Raises:
            ValueError: if this embedding shares none.
        """
        raise ValueError(f"{type(self).__name__} shares no table with a head")

    @property
    def num_parameters(self) -> int:
        """Trainable numbers held by this embedding."""
        own = sum(module.num_own_weights for module in self.modules() if isinstance(module, SelfUpdating))
        return own + sum(p.numel() for p in self.parameters())

    @property
    def num_bytes(self) -> int:
        """Bytes of parameters and buffers."""
        return sum(t.numel() * t.element_size() for t in [*self.parameters(), *self.buffers()])

    @property
    def facts(self) -> dict[str, int]:
        """Sizes that a run shows and records, by name."""
        return {"parameters": self.num_parameters, "bytes": self.num_bytes}
