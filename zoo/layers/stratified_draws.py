"""A few of many classes by given chances, drawn with as little repetition as their number allows."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def expected_draws(weights: Float[Tensor, " classes"], draws: int) -> Float[Tensor, " classes"]:
    """How often each class is drawn on average: `min(1, c w_i)`, with the c at which they sum to `draws`.

    Args:
        weights: above 0, the largest one first.
        draws: how many are drawn; as many as there are classes is each of them once.

    Returns:
        One number in (0, 1] a class.

    Example:
        >>> expected_draws(torch.tensor([8.0, 1.0, 1.0]), 2)
        tensor([1.0000, 0.5000, 0.5000])
    """
    if draws >= len(weights):
        return torch.ones_like(weights)
    rest = weights.flip(0).cumsum(0).flip(0)
    left = draws - torch.arange(len(weights), device=weights.device)
    # once the classes before one are in for certain, it is too if its share of the other draws is a whole one
    certain = int((left * weights >= rest).sum())
    expected = (draws - certain) / rest[certain] * weights
    expected[:certain] = 1
    return expected


def stratified_draws(
    cumulative: Float[Tensor, " classes"], generator: torch.Generator | None = None
) -> Int[Tensor, " draws"]:
    """Class numbers, one for each whole unit of the running sum of `expected_draws`, at a random place in the unit.

    A class is drawn `expected_draws` times on average. One that is expected once is drawn exactly once, if such
    classes come first; any other one at most twice, where its share lies in two units.

    Args:
        cumulative: the running sum, in float64, because it counts thousands of draws over millions of classes.
        generator: source of randomness on the same device; None is the global one.
    """
    draws = round(float(cumulative[-1]))
    inside = torch.rand(draws, dtype=cumulative.dtype, device=cumulative.device, generator=generator)
    places = torch.arange(draws, device=cumulative.device) + inside
    # rounding can leave the end of the sum just below the last place
    return torch.searchsorted(cumulative, places, right=True).clamp_max(len(cumulative) - 1)
