"""Sequence vectors out of token vectors."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from zoo.contracts import Layout


def mean_pool(hidden: Float[Tensor, "tokens dim"], layout: Layout) -> Float[Tensor, "sequences dim"]:
    """Mean of the vectors of each sequence, summed in float32 at least.

    Args:
        hidden: one vector a token.
        layout: offsets of the sequences.
    """
    lengths = layout.lengths
    owner = torch.arange(len(lengths), device=hidden.device).repeat_interleave(lengths)
    exact = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    sums = exact.new_zeros(len(lengths), hidden.shape[1])
    return sums.index_add(0, owner, exact) / lengths[:, None]
