"""Scores over very many classes, a block of classes at a time.

A block is the first class of it and the scores of N rows, (N, classes of the block).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Blocks = Iterator[tuple[int, Tensor]]


def log_probs_of(blocks: Blocks, targets: Tensor) -> Tensor:
    """`log softmax(scores)_target` of each row."""
    normaliser: Tensor | None = None
    own: Tensor | None = None
    for start, scores in blocks:
        sums = scores.logsumexp(-1)
        mine, inside = _of_targets(start, scores, targets)
        own = mine if own is None else torch.where(inside, mine, own)
        normaliser = sums if normaliser is None else torch.logaddexp(normaliser, sums)
    assert normaliser is not None
    assert own is not None
    return own - normaliser


def ranks_in(scores: Tensor, targets: Tensor) -> Tensor:
    """How many classes of each row score at least as high as its target, itself included, from all V of its scores.

    What is not below the target counts, so that a score that is no number never helps.

    >>> ranks_in(torch.tensor([[0.5, 0.7, 0.5], [0.0, 0.0, 0.0]]), torch.tensor([2, 0])).tolist()
    [3, 3]
    """
    return scores.shape[1] - _count(scores < scores.gather(1, targets[:, None]))


def ranks_of(blocks: Callable[[], Blocks], targets: Tensor) -> Tensor:
    """The same, a block of classes at a time.

    Args:
        blocks: gives the blocks. They are asked for twice, because a product of the target alone would round
            differently, and equal scores would differ.
        targets: of the rows.
    """
    own: Tensor | None = None
    for start, scores in blocks():
        mine, inside = _of_targets(start, scores, targets)
        own = mine if own is None else torch.where(inside, mine, own)
    assert own is not None
    ranks = torch.ones_like(targets)
    for start, scores in blocks():
        above = ~(scores < own[:, None])
        itself, inside = _of_targets(start, above, targets)
        ranks += _count(above) - (itself & inside).long()
    return ranks


def _count(held: Tensor) -> Tensor:
    # a third of the time of sums in 64 bits
    return held.sum(-1, dtype=torch.int32).long()


def _of_targets(start: int, values: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """What a block holds of each row's target, and whether it holds it; else the former means nothing."""
    place = targets - start
    inside = (place >= 0) & (place < values.shape[1])
    return values.gather(1, place.clamp(0, values.shape[1] - 1)[:, None]).squeeze(1), inside


def best_of(blocks: Blocks, k: int) -> tuple[Tensor, Tensor]:
    """The k largest scores of each row and their classes, best first.

    Raises:
        ValueError: if there are fewer than k classes.
    """
    values: Tensor | None = None
    ids: Tensor | None = None
    for start, scores in blocks:
        best = scores.topk(min(k, scores.shape[1]))
        found, where = best.values, best.indices + start
        if values is not None and ids is not None:
            found, where = torch.cat([values, found], 1), torch.cat([ids, where], 1)
            top = found.topk(min(k, found.shape[1]))
            found, where = top.values, where.gather(1, top.indices)
        values, ids = found, where
    assert values is not None
    assert ids is not None
    if values.shape[1] < k:
        raise ValueError(f"there are only {values.shape[1]} classes, not {k}: ask for fewer")
    return values, ids


def draw_best(blocks: Blocks, generator: torch.Generator | None = None) -> Tensor:
    """One class a row with chances `softmax(scores)`: the largest of `score - log(-log u)` with u uniform."""

    def noisy() -> Blocks:
        for start, scores in blocks:
            # an exponential variable divided by a chance is smallest where it is drawn; never 0 or infinite
            waiting = torch.empty_like(scores).exponential_(generator=generator)
            yield start, scores - waiting.clamp_min_(torch.finfo(scores.dtype).tiny).log_()

    return best_of(noisy(), 1)[1].squeeze(1)
