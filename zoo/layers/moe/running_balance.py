"""Balance by the load of recent steps."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.layers.moe.balance import Balance, Counts, balance_loss, checked_weight


class RunningBalance(Balance):
    """The loss of `GlobalBalance` with f over this batch and the steps before it, which fade.

    `f ~ counts + sum over past steps s of momentum^s counts_s`. Small batches need not be even one by one.

    Args:
        num_layers: MoE layers.
        num_experts: E.
        weight: of the loss.
        momentum: what a step keeps of the one before, in [0, 1).

    Raises:
        ValueError: if an option is out of range.
    """

    past: Tensor

    def __init__(self, num_layers: int, num_experts: int, weight: float = 0.06, momentum: float = 0.9) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), not {momentum}")
        self.weight = checked_weight(weight)
        self.momentum = momentum
        self.register_buffer("past", torch.zeros(num_layers, num_experts))

    def loss(self, counts: Counts, means: Float[Tensor, "layers experts"]) -> Float[Tensor, ""] | None:
        """The loss of a batch."""
        return self.weight * balance_loss(counts + self.momentum * self.past, means) if self.weight else None

    def update(self, counts: Counts) -> None:
        """Let the past fade and add a step to it."""
        self.past.mul_(self.momentum).add_(counts)
