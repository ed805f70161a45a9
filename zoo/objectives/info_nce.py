"""The InfoNCE loss over in-batch negatives."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class InfoNCE(nn.Module):
    """`L = -mean_i log( exp(q_i . d_i / t) / sum_j exp(q_i . d_j / t) )` with unit vectors q and d.

    Args:
        temperature: t, its start value if it is learned.
        learn_temperature: train `log(1/t)`; it is kept below log 100, as CLIP does, so that it cannot run away.
        bidirectional: take the mean with the same loss from documents to queries.

    Raises:
        ValueError: if the temperature is out of range.

    References:
        van den Oord et al., arXiv 1807.03748, equation 4; Radford et al., CLIP, arXiv 2103.00020, section 2.3.
    """

    def __init__(self, temperature: float = 0.05, learn_temperature: bool = False, bidirectional: bool = False) -> None:
        super().__init__()
        if not temperature >= 0.01:
            raise ValueError(f"temperature must be at least 0.01, not {temperature}")
        scale = torch.tensor(math.log(1 / temperature))
        self.log_scale = nn.Parameter(scale, requires_grad=learn_temperature)
        self.bidirectional = bidirectional

    def forward(
        self, queries: Float[Tensor, "pairs dim"], documents: Float[Tensor, "pairs dim"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Loss in nats and the share of queries whose own document comes first.

        Args:
            queries: vectors of any length; they are normalised here.
            documents: document i belongs to query i, and is a negative of all others.
        """
        scale = self.log_scale.clamp(max=math.log(100)).exp()
        scores = scale * F.normalize(queries, dim=-1) @ F.normalize(documents, dim=-1).T
        own = torch.arange(len(scores), device=scores.device)
        loss = F.cross_entropy(scores, own)
        if self.bidirectional:
            loss = (loss + F.cross_entropy(scores.T, own)) / 2
        return loss, (scores.argmax(1) == own).float().mean()
