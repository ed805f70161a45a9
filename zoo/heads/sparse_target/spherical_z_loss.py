"""The Z-loss: how far the target stands out among all outputs."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from zoo.heads.sparse_target.spherical_loss import ClassLoss, Outputs, Partials


class SphericalZLoss(ClassLoss):
    """`l = softplus(alpha (beta - z)) / alpha` with the z-score `z = (a - mu) / sigma` of the target's output.

    mu and sigma are mean and standard deviation over the D outputs: `mu = s / D`, `sigma^2 = q / D - mu^2`. It has
    nothing to do with the regulariser of log Z that is also called z-loss. It is no probability, and neither a shift
    nor a change of scale of the outputs changes it: its gradient sums to 0 over the outputs, and a learning rate only
    has a meaning relative to |W|^2. Which alpha and beta are best depends on the k of the top-k error that counts.

    Args:
        alpha: how sharp the bend is, above 0.
        beta: the z-score from which on a target counts as found.

    Raises:
        ValueError: if alpha is not above 0.

    References:
        A. de Brebisson and P. Vincent, The Z-loss: a shift and scale invariant classification loss belonging to the
        Spherical Family, arXiv 1604.08859.
    """

    zero_sum = True
    _smallest_variance = 1e-12  # outputs that are all equal have no z-score

    def __init__(self, alpha: float = 0.7, beta: float = 8.0) -> None:
        if alpha <= 0:
            raise ValueError(f"alpha={alpha}: set it above 0, such as 0.7")
        self.alpha, self.beta = alpha, beta

    def of_class(self, outputs: Outputs) -> Partials:
        """`dl/da = -p / sigma`, `dl/ds = p (1 - z mu / sigma) / (D sigma)`, `dl/dq = p z / (2 D sigma^2)`.

        p is `sigmoid(alpha (beta - z))`.
        """
        number = outputs.number
        mean = outputs.total / number
        variance = (outputs.square_norm / number - mean.square()).clamp(min=0) + self._smallest_variance
        deviation = variance.sqrt()
        z = (outputs.targets - mean) / deviation
        distance = self.alpha * (self.beta - z)
        p = torch.sigmoid(distance)
        return Partials(
            F.softplus(distance, threshold=50.0) / self.alpha,
            p * z / (2 * number * variance),
            p * (1 - z * mean / deviation) / (number * deviation),
            -p / deviation,
        )
