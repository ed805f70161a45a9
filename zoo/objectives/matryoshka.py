"""A loss over pairs, at several sizes of the same vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.contracts import PairBatch
from zoo.objectives.info_nce import InfoNCE
from zoo.objectives.pair_loss import PairLoss


class Matryoshka(PairLoss):
    """`sum_k w_k L(first m_k coordinates)`: vectors are cut off first and made unit vectors by L then.

    Accuracy is that of the largest size.

    Args:
        dims: the sizes m, each at most the width of the model.
        weights: w, one a size; null is 1 for each.
        loss: factory of L; all sizes share it, and its temperature.

    Raises:
        ValueError: if the sizes are not different and at least 1, or weights do not fit them or are not positive; in
            `forward`, if a size is larger than the vectors.

    References:
        Kusupati et al., Matryoshka Representation Learning, arXiv 2205.13147, equation 1.

    Example:
        >>> import torch
        >>> loss, accuracy = Matryoshka([4, 2])(torch.eye(4), torch.eye(4))
        >>> accuracy.item()
        1.0
    """

    def __init__(
        self,
        dims: Sequence[int] = (256, 64),
        weights: Sequence[float] | None = None,
        loss: Callable[[], PairLoss] = InfoNCE,
    ) -> None:
        super().__init__()
        if not dims or min(dims) < 1 or len(set(dims)) < len(dims):
            raise ValueError(f"dims must be different sizes of at least 1, not {list(dims)}")
        weights = [1.0] * len(dims) if weights is None else weights
        if len(weights) != len(dims) or not min(weights) > 0:
            raise ValueError(f"weights must be one positive number for each of dims, not {list(weights)}")
        self.sizes = dict(sorted(zip(dims, weights, strict=True), reverse=True))
        self.loss = loss()
        self.chunk_texts = self.loss.chunk_texts

    def forward(
        self,
        queries: Float[Tensor, "pairs dim"],
        documents: Float[Tensor, "documents dim"],
        batch: PairBatch | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Weighted sum of the losses, and the accuracy at the largest size; see `PairLoss.forward`."""
        width = queries.shape[1]
        if max(self.sizes) > width:
            raise ValueError(f"dims {list(self.sizes)} of vectors of {width} numbers: leave out the larger ones")
        found = [self.loss(queries[:, :size], documents[:, :size], batch) for size in self.sizes]
        weighted = [weight * loss for weight, (loss, _) in zip(self.sizes.values(), found, strict=True)]
        return torch.stack(weighted).sum(), found[0][1]
