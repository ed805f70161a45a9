"""The gradient of a table with respect to the rows that were looked up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class RowGradient:
    """A gradient that is 0 but in some rows.

    Args:
        ids: the rows, each once, rising, (u,).
        values: their gradients, (u, d).
    """

    ids: Tensor
    values: Tensor

    @staticmethod
    def summed(ids: Tensor, values: Tensor) -> RowGradient:
        """From one gradient a look-up; those of one row are added up in the order in which they stand."""
        order = ids.argsort(stable=True)
        unique, counts = ids[order].unique_consecutive(return_counts=True)
        starts = F.pad(counts.cumsum(0), (1, 0))[:-1]
        return RowGradient(unique, F.embedding_bag(order, values, starts, mode="sum"))

    def scaled(self, factor: Tensor | float) -> RowGradient:
        """The gradient of `factor` times the loss."""
        return RowGradient(self.ids, self.values * factor)

    def at(self, ids: Tensor) -> Tensor:
        """Place of each of `ids` in `self.ids`; -1 where it is not among them."""
        places = torch.searchsorted(self.ids, ids).clamp(max=len(self.ids) - 1)
        return torch.where(self.ids[places] == ids, places, -1)
