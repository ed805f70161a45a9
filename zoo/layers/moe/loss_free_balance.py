"""Balance without a loss."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.layers.moe.balance import Balance, Counts


class LossFreeBalance(Balance):
    """Experts are chosen by `p_e + b_e`, gates are of p alone; after a step `b_e += rate * sign(mean load - load_e)`.

    Args:
        num_layers: MoE layers.
        num_experts: E.
        rate: how much a bias changes in a step, in units of probability.

    Raises:
        ValueError: if `rate` is not positive.

    References:
        Wang et al., Auxiliary-Loss-Free Load Balancing, arXiv 2408.15664, algorithm 1.
    """

    steps: Tensor

    def __init__(self, num_layers: int, num_experts: int, rate: float = 1e-3) -> None:
        super().__init__()
        if not 0 < rate < float("inf"):
            raise ValueError(f"rate must be above 0 and finite, not {rate}")
        self.rate = rate
        # whole steps up or down, so that no type of the model rounds them
        self.register_buffer("steps", torch.zeros(num_layers, num_experts, dtype=torch.int64))

    def loss(self, counts: Counts, means: Float[Tensor, "layers experts"]) -> Float[Tensor, ""] | None:
        """None."""
        return None

    def selection_bias(self) -> Float[Tensor, "layers experts"] | None:
        """The bias of each expert."""
        return self.rate * self.steps

    def update(self, counts: Counts) -> None:
        """One step of each bias."""
        self.steps += (counts.sum(1, keepdim=True) - counts.shape[1] * counts).sign()
