"""Codes that know nothing of the tokens but their order."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from zoo.contracts import Vocabulary
from zoo.embeddings.codes.code_assignment import CodeAssignment, by_frequency, check_digits, places_of, trained_rows
from zoo.embeddings.codes.least_squares import start_at
from zoo.layers.subspace_table import SubspaceTable


class SequentialCodes(CodeAssignment):
    """`c_j(v) = floor(place(v) / n^j) mod n`: the base-n digits of a token's place, least significant first.

    Args:
        order: of the places: by `frequency` in the training texts, most frequent first; by `id`; or `random`. Special
            tokens come first, and own rows go to the first places; those are the most frequent ones in every order.
        model: trained model that the tables start from, each row at the mean of the vectors that it stands for, and own
            rows at the vectors: run folder, checkpoint or Hugging Face encoder. Null takes the one that training starts
            from (`init_from`), and random rows where there is none.
        seed: of the random order.

    Raises:
        FileNotFoundError: if there is no such model (when training begins).
        ValueError: if its vocabulary or width is another one (when training begins).

    References:
        A. Jaiswal and H. Liu, arXiv 2308.08688 (sequential codes, by id).
    """

    def __init__(
        self, order: Literal["frequency", "id", "random"] = "frequency", model: str | None = None, seed: int = 0
    ) -> None:
        self.order, self.model, self.seed = order, model, seed

    @property
    def follows_frequency(self) -> bool:
        """In that order."""
        return self.order == "frequency"

    def prepare(self, table: SubspaceTable) -> None:
        """Refuse a base that leaves rows without a token."""
        check_digits(table)

    def assign(
        self, table: SubspaceTable, vocabulary: Vocabulary, counts: Tensor, trained: Tensor | None = None
    ) -> None:
        """Order the tokens behind the own rows; codes stay the digits of places."""
        order = by_frequency(vocabulary, counts)
        tail = order[table.own_rows :]
        if self.order == "id":
            tail = tail.sort().values
        elif self.order == "random":
            tail = tail[torch.randperm(len(tail), generator=torch.Generator().manual_seed(self.seed))]
        table.assign(places_of(torch.cat([order[: table.own_rows], tail])))
        if self.model is not None:
            trained = trained_rows(self.model, vocabulary, table.width)
        if trained is not None:
            start_at(table, trained)
