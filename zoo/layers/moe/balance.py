"""What a way to keep the load of experts even promises; built by an encoder as `factory(num_layers, num_experts)`."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor, nn

Counts = Int[Tensor, "layers experts"]


class Balance(nn.Module, ABC):
    """Knows the load of each expert of each MoE layer, over all processes."""

    @abstractmethod
    def loss(self, counts: Counts, means: Float[Tensor, "layers experts"]) -> Float[Tensor, ""] | None:
        """What is added to the loss of a training batch, already weighted; None adds nothing.

        Args:
            counts: assignments of this batch, over all processes.
            means: mean over this process's tokens of each expert's probability, with a gradient.
        """

    def selection_bias(self) -> Float[Tensor, "layers experts"] | None:
        """What is added to probabilities where experts are chosen."""
        return None

    def update(self, counts: Counts) -> None:
        """Told once an optimizer step: the assignments since the one before, over all processes."""


def checked_weight(weight: float) -> float:
    """`weight`, where it is one.

    Raises:
        ValueError: if it is negative or not finite.
    """
    if not 0 <= weight < float("inf"):
        raise ValueError(f"the weight of a balance loss must be at least 0 and finite, not {weight}")
    return weight


def balance_loss(
    counts: Float[Tensor, "layers experts"] | Counts, means: Float[Tensor, "layers experts"]
) -> Float[Tensor, ""]:
    """`E * mean over layers of sum_e f_e P_e`, f the shares of `counts`; 1 at even load, and no lower bound."""
    shares = counts.to(means.dtype) / counts.sum(1, keepdim=True).clamp(min=1)
    return counts.shape[1] * (shares * means).sum(1).mean()
