"""One exact update by d x d products, for m above d."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.heads.sparse_target.output_gradient import OutputGradient

Right = Callable[[Tensor], Tensor]


class CovarianceRoute:
    """The step `W <- W - eta E H C` seen from d x d sums over the examples, with a symmetric C (d x d).

    Args:
        gradient: `dL/dW = E H`.
        by_class: `Y^T H` at the targets' classes, (u, d).
        gram: `Q = W^T W`.
        total: `W^T 1`.
        number: D.
    """

    def __init__(self, gradient: OutputGradient, by_class: Tensor, gram: Tensor, total: Tensor, number: int) -> None:
        g = self.gradient = gradient
        self.spread = g.hidden.T @ (g.by_output[:, None] * g.hidden)  # A = H^T G H
        own = g.own_rows.T @ g.hidden  # F = (Y W)^T H
        shared = g.by_total @ g.hidden
        through_gram = gram @ self.spread
        self.first = through_gram + own + torch.outer(total, shared)  # B^T H
        ones = self.spread @ total + g.by_target.sum(-1) @ g.hidden + number / 2 * shared
        # its symmetric part is H^T M H = (E H)^T (E H)
        self.second = self.spread @ (through_gram + 2 * own) + by_class.T @ by_class + 2 * torch.outer(ones, shared)

    @property
    def square_norm(self) -> Tensor:
        """`|dL/dW|^2`."""
        return self.second.trace()

    @property
    def column_squares(self) -> Tensor:
        """Sum of the squares of each column of dL/dW, (d,)."""
        return self.second.diagonal()

    def gram_change(self, rate: float, right: Right) -> Tensor:
        """X of `Q <- Q - (X + X^T)`."""
        return rate * right(self.first) - rate**2 / 2 * right(right(self.second).T).T

    def mix(self, rate: float, right: Right, mixing: Tensor) -> Tensor:
        """New U."""
        return mixing @ self._step(rate, right)

    def unmix_(self, rate: float, right: Right, inverse: Tensor) -> Tensor:
        """Make the inverse of U that of the new U, in place, and return `R = H C U^-1`, by which V is moved."""
        inverse.copy_(torch.linalg.solve_ex(self._step(rate, right), inverse).result)
        return right(self.gradient.hidden) @ inverse

    def _step(self, rate: float, right: Right) -> Tensor:
        """What U is multiplied with from the right."""
        step = -rate * right(self.spread)
        step.diagonal().add_(1)
        return step
