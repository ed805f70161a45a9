"""A softmax with squares in place of exponentials."""

from __future__ import annotations

import torch

from zoo.heads.sparse_target.spherical_loss import ClassLoss, Outputs, Partials


class SphericalSoftmax(ClassLoss):
    """`l = log(q + D eps) - log(a^2 + eps)`, that is `-log p` with `p_c = (o_c^2 + eps) / sum_j (o_j^2 + eps)`.

    Classes are ranked by |o|. With eps to 0 no class can have a probability above its leverage `w_c^T Q^-1 w_c`, and
    the leverages of all D classes sum to d: a likelihood far below that of a softmax where D is much larger than d.

    Args:
        eps: above 0.

    Raises:
        ValueError: if eps is not above 0.

    References:
        A. de Brebisson and P. Vincent, An Exploration of Softmax Alternatives Belonging to the Spherical Loss Family,
        arXiv 1511.05042.
    """

    is_probability = True
    offset = 0.0

    def __init__(self, eps: float = 0.01) -> None:
        if eps <= 0:
            raise ValueError(f"eps={eps}: set it above 0, such as 0.01; a target whose output is 0 has no logarithm")
        self.eps = eps

    def of_class(self, outputs: Outputs) -> Partials:
        """`dl/dq = 1 / (q + D eps)`, `dl/ds = 0`, `dl/da = -2 a / (a^2 + eps)`."""
        a = outputs.targets
        normaliser = outputs.square_norm + outputs.number * self.eps
        own = a.square() + self.eps
        return Partials(
            normaliser.log() - own.log(), normaliser.reciprocal(), torch.zeros_like(normaliser), -2 * a / own
        )

    def ranking(self, scores: torch.Tensor) -> torch.Tensor:
        """|o|."""
        return scores.abs()

    def logits(self, scores: torch.Tensor) -> torch.Tensor:
        """`log(o^2 + eps)`."""
        return (scores.square() + self.eps).log()
