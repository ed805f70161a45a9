"""Squared error to a sparse target."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.heads.sparse_target.spherical_loss import Outputs, Partials, SphericalLoss


class SquaredError(SphericalLoss):
    """`l = |o - y|^2 = q - 2 a.y + y.y`, where y is 0 but at the K targets.

    References:
        P. Vincent, A. de Brebisson and X. Bouthillier, Efficient Exact Gradient Update for Training Deep Networks with
        Very Large Sparse Targets, arXiv 1412.7091.
    """

    is_regression = True

    def partials(self, outputs: Outputs, values: Tensor) -> Partials:
        """`dl/dq = 1`, `dl/ds = 0`, `dl/da = -2 y`."""
        q = outputs.square_norm
        value = q + (values * (values - 2 * outputs.targets)).sum(-1)
        return Partials(value, torch.ones_like(q), torch.zeros_like(q), -2 * values)
