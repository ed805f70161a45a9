"""Which experts a token goes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

Gates = Literal["raw", "normalised", "straight_through"]


@dataclass(frozen=True)
class Routing:
    """The choices of one layer for a batch.

    Args:
        experts: experts of each token, the best one first.
        gates: weight of each expert's output, at least float32.
        probabilities: of all experts.
        logits: what they are the softmax of.
    """

    experts: Int[Tensor, "tokens choices"]
    gates: Float[Tensor, "tokens choices"]
    probabilities: Float[Tensor, "tokens experts"]
    logits: Float[Tensor, "tokens experts"]


class Router(nn.Module):
    """`p = softmax(R x)`, and the K largest of `p + bias`; runs in float32 at least, under autocast too.

    Gates of the chosen experts C:

    - `raw`: p_e;
    - `normalised`: p_e / sum over C of p;
    - `straight_through`: the same value with the gradient of p_e, divided by the constant sum.

    Args:
        width: D.
        num_experts: E.
        top_k: K.
        gates: `raw`, `normalised` or `straight_through`.
    """

    def __init__(self, width: int, num_experts: int, top_k: int, gates: Gates) -> None:
        super().__init__()
        self.linear = nn.Linear(width, num_experts, bias=False)
        self.top_k = top_k
        self.gates = gates

    def forward(self, x: Float[Tensor, "tokens dim"], bias: Float[Tensor, " experts"] | None) -> Routing:
        """Choose; `bias` changes which experts are chosen and nothing else."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(x.to(dtype), self.linear.weight.to(dtype))
            probabilities = logits.softmax(-1)
            scores = probabilities.detach() if bias is None else probabilities.detach() + bias
            experts = scores.topk(self.top_k, dim=-1).indices
            return Routing(experts, self._gates(probabilities.gather(1, experts)), probabilities, logits)

    def _gates(self, chosen: Tensor) -> Tensor:
        if self.gates == "raw":
            return chosen
        mass = chosen.sum(-1, keepdim=True)
        return chosen / (mass if self.gates == "normalised" else mass.detach())
