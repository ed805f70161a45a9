"""The softmax over all tokens whose codes spell the numbers 0 to V - 1, at a cost that does not depend on V.

The score of a token is `z_v = sum_j S_j[c_j(v)]`. The numbers below V fall into one box for each digit D_j > 0 of V:
the digits above j are those of V, digit j is less than D_j, and the digits below j are free. Since
`exp(a + b) = exp(a) exp(b)`, the sum over a box is a product of sums: O(N f n) in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

DigitScores = Float[Tensor, "digits rows base"]


def box(
    scores: DigitScores, size: int, picked: Int[Tensor, "rows digits"]
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """Log of the sum over tokens whose codes spell the numbers 0 to `size` - 1, and the score of one token a row.

    Args:
        scores: S, the least significant digit first.
        size: V, at most n^f.
        picked: codes of that token.

    Returns:
        `log sum_v exp z_v` and `z_picked`. They can be differentiated once.
    """
    log_sum, chosen = _Box.apply(scores, size, picked)  # type: ignore[no-untyped-call]
    return log_sum, chosen


class _Box(torch.autograd.Function):
    """The gradient by hand: the arrays are small, and autograd's many operations would cost more than the sums.

    The boxes above digit j see all its values, its own box those below the limit, the boxes below it one value. So its
    gradient is the softmax over all values, the one over those below the limit, and that one value, each times the
    share of these boxes in the sum.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, size: int, picked: Tensor) -> tuple[Tensor, Tensor]:
        limits = _limits(size, scores.shape[2], len(scores))
        chances, wholes = _softmax(scores)
        shares = torch.full_like(wholes, -torch.inf)
        insides = []
        for j, above, limit in _boxes(limits):
            inside, part = _softmax(scores[j, :, :limit])
            fixed = sum(scores[i, :, digit] for i, digit in above)
            shares[j] = part + wholes[:j].sum(0) + fixed
            insides.append(inside)
        shares, log_sum = _softmax(shares.T)
        places = picked.T[:, :, None]
        ctx.save_for_backward(chances, shares.T, places, *insides)
        ctx.limits = limits
        return log_sum, scores.gather(2, places).sum((0, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        chances, shares, places, *insides = ctx.saved_tensors
        shares = shares * grads[0]
        up_to = shares.cumsum(0)
        gradient = chances * (up_to[-1] - up_to)[:, :, None]
        for (j, above, limit), inside in zip(_boxes(ctx.limits), insides, strict=True):
            gradient[j, :, :limit].addcmul_(inside, shares[j, :, None])
            for i, digit in above:
                gradient[i, :, digit] += shares[j]
        gradient.scatter_add_(2, places, grads[1][:, None].expand_as(places))
        return gradient, None, None


def _softmax(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax over the last dimension, and log of the sum of exponentials, with fewer kernels than `logsumexp`."""
    chances = scores.softmax(-1)
    return chances, scores.amax(-1) - chances.amax(-1).log()


def _limits(size: int, base: int, count: int) -> list[int]:
    """Digits of `size`, the least significant first; the last one is `base` where `size` has a digit more."""
    return [size // base**j % base for j in range(count - 1)] + [size // base ** (count - 1)]


def _boxes(limits: list[int]) -> Iterator[tuple[int, list[tuple[int, int]], int]]:
    """Restricted digit, fixed digits above it, and limit, of each box."""
    for j, limit in enumerate(limits):
        if limit:
            yield j, list(enumerate(limits))[j + 1 :], limit


def box_topk(scores: DigitScores, size: int, k: int) -> tuple[Float[Tensor, "rows best"], Int[Tensor, "rows best"]]:
    """The `k` best scores and the numbers that their codes spell, best first; fewer where there are fewer tokens.

    The best of a box are sums of the best of its digits, so k x k sums a digit are enough.

    Args:
        scores: S, the least significant digit first.
        size: V, at most n^f.
        k: how many, at most `size`.
    """
    values, numbers = [], []
    count, _, base = scores.shape
    for j, above, limit in _boxes(_limits(size, base, count)):
        best, spelled = scores[j, :, :limit].topk(min(k, limit))
        spelled = spelled * base**j
        for i, digit in above:
            best, spelled = best + scores[i, :, digit, None], spelled + digit * base**i
        for i in reversed(range(j)):
            inner, digit_of = scores[i].topk(min(k, base))
            sums = (best[:, :, None] + inner[:, None, :]).flatten(1)
            codes = (spelled[:, :, None] + digit_of[:, None, :] * base**i).flatten(1)
            best, chosen = sums.topk(min(k, sums.shape[1]))
            spelled = codes.gather(1, chosen)
        values.append(best)
        numbers.append(spelled)
    best, chosen = torch.cat(values, 1).topk(k)
    return best, torch.cat(numbers, 1).gather(1, chosen)


def box_sample(scores: DigitScores, size: int, generator: torch.Generator | None) -> Int[Tensor, " rows"]:
    """A number below `size` for each row, drawn from the softmax: first its box, then digit by digit.

    Args:
        scores: S, the least significant digit first.
        size: V, at most n^f.
        generator: source of randomness; None is the global one.
    """
    count, _, base = scores.shape
    drawn = draw(box_sums(scores, size).T, generator)
    numbers = torch.empty_like(drawn)
    for box_number, (j, above, limit) in enumerate(_boxes(_limits(size, base, count))):
        mine = (drawn == box_number).nonzero().squeeze(1)
        if len(mine):
            free = [draw(scores[i, mine], generator) * base**i for i in range(j)]
            restricted = draw(scores[j, mine, :limit], generator) * base**j
            numbers[mine] = sum(free) + restricted + sum(digit * base**i for i, digit in above)
    return numbers


def box_sums(scores: DigitScores, size: int) -> Float[Tensor, "boxes rows"]:
    """Log of the sum over each box."""
    count, _, base = scores.shape
    wholes = scores.logsumexp(-1)
    sums = [
        scores[j, :, :limit].logsumexp(-1) + wholes[:j].sum(0) + sum(scores[i, :, digit] for i, digit in above)
        for j, above, limit in _boxes(_limits(size, base, count))
    ]
    return torch.stack(sums)


def draw(scores: Float[Tensor, "rows choices"], generator: torch.Generator | None) -> Int[Tensor, " rows"]:
    """One column a row, drawn from the softmax."""
    return scores.softmax(-1).multinomial(1, generator=generator).squeeze(1)
