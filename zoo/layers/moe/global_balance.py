"""Balance by the load of the whole batch."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from zoo.layers.moe.balance import Balance, Counts, balance_loss, checked_weight


class GlobalBalance(Balance):
    """`weight * E * mean over layers of sum_e f_e P_e`, with the load f of this batch over all processes.

    Args:
        num_layers: MoE layers.
        num_experts: E.
        weight: of the loss; 0 leaves the load to itself.

    Raises:
        ValueError: if `weight` is negative.

    References:
        Fedus et al., Switch Transformers, arXiv 2101.03961, equation 4;
        Qiu et al., Demons in the Detail, arXiv 2501.11873, for f over all processes.
    """

    def __init__(self, num_layers: int, num_experts: int, weight: float = 0.06) -> None:
        super().__init__()
        self.weight = checked_weight(weight)

    def loss(self, counts: Counts, means: Float[Tensor, "layers experts"]) -> Float[Tensor, ""] | None:
        """The loss of a batch."""
        return self.weight * balance_loss(counts, means) if self.weight else None
