"""Which words a text consists of, without their order."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zoo.contracts import PackedBatch


def bags(
    batch: PackedBatch, rarity: Float[Tensor, " vocab"], most: int
) -> tuple[Int[Tensor, "sequences most"], Float[Tensor, "sequences most"]]:
    """The heaviest tokens of each sequence: a token that stands in it n times weighs `(1 + log n) rarity`.

    Args:
        batch: the text.
        rarity: of each token, at least 0; tokens of rarity 0 are in no bag.
        most: how many tokens a bag holds; fewer are filled up with token 0 at weight 0.

    Returns:
        Ids, each once a row, from the heaviest to the lightest, and their weights.
    """
    lengths = batch.cu_seqlens.diff().long()
    sequences = torch.arange(len(lengths), device=batch.tokens.device).repeat_interleave(lengths)
    keys, counts = (sequences * len(rarity) + batch.tokens).unique(return_counts=True)
    rows, ids = keys // len(rarity), keys % len(rarity)
    weights = (1 + counts.log()) * rarity[ids]
    order = weights.argsort(descending=True, stable=True)
    order = order[rows[order].argsort(stable=True)]
    rows, ids, weights = rows[order], ids[order], weights[order]
    places = torch.arange(len(rows), device=rows.device) - torch.searchsorted(rows, rows)
    kept = (places < most) & (weights > 0)
    chosen = ids.new_zeros(len(lengths), most)
    values = weights.new_zeros(len(lengths), most)
    chosen[rows[kept], places[kept]] = ids[kept]
    values[rows[kept], places[kept]] = weights[kept]
    return chosen, values
