"""Targets that name one class more than once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def merge_targets(targets: Tensor, values: Tensor) -> Tensor:
    """Values with which each class stands once in its row: their sum at its first place, 0 at the others.

    Sums have one order on every machine.

    Args:
        targets: ids, (m, K).
        values: of the targets, (m, K).

    Returns:
        (m, K).

    Example:
        >>> import torch
        >>> merge_targets(torch.tensor([[7, 3, 7]]), torch.tensor([[1.0, 2.0, 4.0]])).tolist()
        [[5.0, 2.0, 0.0]]
    """
    if targets.shape[1] == 1:
        return values
    order = targets.argsort(dim=1, stable=True)
    ordered = targets.gather(1, order)
    is_first = F.pad(ordered[:, 1:] != ordered[:, :-1], (1, 0), value=True)
    firsts = is_first.flatten().nonzero().squeeze(1)
    rows = torch.arange(len(targets), device=targets.device)[:, None]
    places = (rows * targets.shape[1] + order).flatten()
    sums = F.embedding_bag(places, values.reshape(-1, 1), firsts, mode="sum")
    merged = torch.zeros_like(values).flatten()
    return merged.index_copy_(0, places[firsts], sums.squeeze(1)).view_as(values)
