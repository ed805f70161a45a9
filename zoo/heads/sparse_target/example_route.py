"""One exact update by m x m products, for m up to d."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.heads.sparse_target.output_gradient import OutputGradient

Right = Callable[[Tensor], Tensor]


class ExampleRoute:
    """The step `W <- W - eta E H C` seen from its m examples, with `M = E^T E` (m x m) and a symmetric C (d x d).

    Args:
        gradient: `dL/dW = E H`.
        energy: `Y Y^T H`, (m, d), the part of `M H` that one target has in common with another.
        column_total: `E^T 1`, (m,).
    """

    def __init__(self, gradient: OutputGradient, energy: Tensor, column_total: Tensor) -> None:
        g = self.gradient = gradient
        inner = (g.to_hidden @ g.hidden.T) * g.by_output
        inner += g.by_output[:, None] * (g.hidden @ g.own_rows.T)
        inner += torch.outer(column_total, g.by_total) + torch.outer(g.by_total, g.by_target.sum(-1))
        self.energy = torch.addmm(energy, inner, g.hidden)

    @property
    def square_norm(self) -> Tensor:
        """`|dL/dW|^2`."""
        return (self.energy * self.gradient.hidden).sum()

    @property
    def column_squares(self) -> Tensor:
        """Sum of the squares of each column of dL/dW, (d,)."""
        return (self.energy * self.gradient.hidden).sum(0)

    def gram_change(self, rate: float, right: Right) -> Tensor:
        """X of `Q <- Q - (X + X^T)`."""
        return right(self.gradient.hidden).T @ (rate * self.gradient.to_hidden - rate**2 / 2 * right(self.energy))

    def mix(self, rate: float, right: Right, mixing: Tensor) -> Tensor:
        """New U."""
        g = self.gradient
        return torch.addmm(mixing, g.mixed.T, g.by_output[:, None] * right(g.hidden), alpha=-rate)

    def unmix_(self, rate: float, right: Right, inverse: Tensor) -> Tensor:
        """Make the inverse of U that of the new U, in place, and return `R = H C U^-1`, by which V is moved."""
        g = self.gradient
        hidden = right(g.hidden)
        system = -rate * (hidden @ g.hidden.T) * g.by_output
        system.diagonal().add_(1)
        # half the time of a solution with d right-hand sides, and no further from the exact one
        moved: Tensor = torch.linalg.inv_ex(system).inverse @ (hidden @ inverse)
        inverse.addmm_((g.by_output[:, None] * g.hidden).T, moved, alpha=rate)
        return moved
