"""What the losses over pairs of text vectors share."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from zoo.contracts import PairBatch


class PairLoss(nn.Module, ABC):
    """A loss by which queries find their documents.

    Attributes:
        chunk_texts: most texts of one side that are embedded at a time with what their gradient needs; None is all.
    """

    chunk_texts: int | None = None

    @abstractmethod
    def forward(
        self,
        queries: Float[Tensor, "pairs dim"],
        documents: Float[Tensor, "documents dim"],
        batch: PairBatch | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """What is minimised, and the share of queries whose own document comes first.

        Args:
            queries: B vectors of any length.
            documents: in the order of `PairBatch.documents`: the B documents, then n hard negatives a query.
            batch: the texts that the vectors stand for; None where they are not known.
        """
