"""Codes that know nothing of the tokens but their order."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from zoo.contracts import Vocabulary
from zoo.embeddings.codes.code_assignment import CodeAssignment, by_frequency, places_of
from zoo.layers.subspace_table import SubspaceTable


class SequentialCodes(CodeAssignment):
    """`c_j(v) = floor(place(v) / n^j) mod n`: the base-n digits of a token's place, least significant first.

    Args:
        order: of the places: by `frequency` in the training texts, most frequent first; by `id`; or `random`. Special
            tokens come first, and own rows go to the first places; those are the most frequent ones in every order.
        seed: of the random order.

    References:
        A. Jaiswal and H. Liu, arXiv 2308.08688 (sequential codes, by id).
    """

    def __init__(self, order: Literal["frequency", "id", "random"] = "frequency", seed: int = 0) -> None:
        self.order, self.seed = order, seed

    def assign(self, table: SubspaceTable, vocabulary: Vocabulary, counts: Tensor) -> None:
        """Order the tokens behind the own rows; codes stay the digits of places."""
        order = by_frequency(vocabulary, counts)
        tail = order[table.own_rows :]
        if self.order == "id":
            tail = tail.sort().values
        elif self.order == "random":
            tail = tail[torch.randperm(len(tail), generator=torch.Generator().manual_seed(self.seed))]
        table.assign(places_of(torch.cat([order[: table.own_rows], tail])))
