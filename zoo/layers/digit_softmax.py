"""The softmax over tokens whose score is a sum of one number a digit: `z_v = sum_j S_j[c_j(v)] + b_v`.

`S` (digits f, rows N, base n) holds the scores of the digit values. Three exact forms of `log sum_v exp z_v`, which
differ in what they ask of the codes and in what they cost:

- `box`: the codes spell the numbers 0 to V - 1, no bias: O(N f n), whatever V is.
- `grid`: two digits, any different codes, any bias: one product with an n x n matrix, O(N n^2).
- `gather`: anything: O(N V f), in chunks of tokens that are computed again for the gradient.

References:
    A. Jaiswal and H. Liu, Lightweight Adaptation of Neural Language Models via Subspace Embedding, arXiv 2308.08688,
    for the codes. The forms follow from `exp(a + b) = exp(a) exp(b)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

DigitScores = Float[Tensor, "digits rows base"]
# Scores of one chunk of tokens held at a time, in numbers.
_CHUNK_ELEMENTS = 8_000_000


def box(
    scores: DigitScores, size: int, picked: Int[Tensor, "rows digits"]
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """Log of the sum over tokens whose codes spell the numbers 0 to `size` - 1, and the score of one token a row.

    The numbers below `size` fall into one box for each digit D_j > 0 of `size`: the digits above j are those of
    `size`, digit j is less than D_j, and the digits below j are free. The sum over a box is a product of sums.

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
    @once_differentiable  # type: ignore[untyped-decorator]
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


def box_sample(scores: DigitScores, size: int, generator: torch.Generator | None = None) -> Int[Tensor, " rows"]:
    """A number below `size` for each row, drawn from the softmax: first its box, then digit by digit.

    Args:
        scores: S, the least significant digit first.
        size: V, at most n^f.
        generator: source of randomness; None is the global one.
    """
    count, rows, base = scores.shape
    limits = _limits(size, base, count)
    wholes = scores.logsumexp(-1)
    boxes = list(_boxes(limits))
    sums = [
        scores[j, :, :limit].logsumexp(-1) + wholes[:j].sum(0) + sum(scores[i, :, digit] for i, digit in above)
        for j, above, limit in boxes
    ]
    drawn = torch.stack(sums, -1).softmax(-1).multinomial(1, generator=generator)[:, 0]
    numbers = torch.empty_like(drawn)
    for box, (j, above, limit) in enumerate(boxes):
        mine = (drawn == box).nonzero().squeeze(1)
        if len(mine):
            digits = [_draw(scores[i, mine], generator) * base**i for i in range(j)]
            digits.append(_draw(scores[j, mine, :limit], generator) * base**j)
            numbers[mine] = sum(digits) + sum(digit * base**i for i, digit in above)
    return numbers


def _draw(scores: Tensor, generator: torch.Generator | None) -> Tensor:
    return scores.softmax(-1).multinomial(1, generator=generator)[:, 0]


def grid(scores: Float[Tensor, "2 rows base"], bias: Float[Tensor, "base base"]) -> Float[Tensor, " rows"]:
    """Log of the sum over tokens with two digits and a bias.

    `log sum_a sum_b exp(S_1[a] + B[a, b] + S_0[b])`, as one product of `exp S_1` with `exp B`. Rows in which the sum
    underflows, because the best digits belong to no token, are summed again in log space.

    Args:
        scores: S, the least significant digit first.
        bias: B by digits (c_1, c_0), minus infinity where there is no token.
    """
    tops = scores.amax(-1, keepdim=True).detach()
    low, high = (scores - tops).exp()
    top = bias.max().detach()
    sums = ((high @ (bias - top).exp()) * low).sum(-1)
    lost = sums < torch.finfo(sums.dtype).tiny ** 0.5
    # a log of 0 would poison the gradient even where it is not used
    logs = torch.where(lost, torch.ones_like(sums), sums).log() + tops.sum((0, 2)) + top
    if bool(lost.any()):
        rows = lost.nonzero().squeeze(1)
        exact = torch.cat(
            [_grid_exact(scores[:, part], bias) for part in rows.split(max(1, _CHUNK_ELEMENTS // bias.numel()))]
        )
        logs = logs.index_put((rows,), exact)
    return logs


def _grid_exact(scores: Tensor, bias: Tensor) -> Tensor:
    return (scores[1, :, :, None] + bias + scores[0, :, None, :]).flatten(1).logsumexp(-1)


def gather(
    scores: DigitScores, codes: Int[Tensor, "tokens digits"], bias: Float[Tensor, " tokens"] | None
) -> Float[Tensor, " rows"]:
    """Log of the sum over tokens with any codes and any bias.

    Args:
        scores: S, the least significant digit first.
        codes: of each token.
        bias: one number a token.
    """
    sums = []
    for part in _parts(len(codes), scores.shape[1]):
        mine = None if bias is None else bias[part]
        sums.append(checkpoint(_part_sum, scores, codes[part], mine, use_reentrant=False))
    return torch.stack(sums).logsumexp(0)


def token_scores(
    scores: DigitScores, codes: Int[Tensor, "tokens digits"], bias: Float[Tensor, " tokens"] | None
) -> Float[Tensor, "rows tokens"]:
    """The scores z themselves, for tokens that are few."""
    total = sum(digit[:, column] for digit, column in zip(scores, codes.long().T, strict=True))
    assert isinstance(total, Tensor)
    return total if bias is None else total + bias


def gather_topk(
    scores: DigitScores, codes: Int[Tensor, "tokens digits"], bias: Float[Tensor, " tokens"] | None, k: int
) -> tuple[Float[Tensor, "rows best"], Int[Tensor, "rows best"]]:
    """The `k` best scores and the index of their codes, best first."""
    values, places = [], []
    for part in _parts(len(codes), scores.shape[1]):
        found = token_scores(scores, codes[part], None if bias is None else bias[part])
        best = found.topk(min(k, found.shape[1]))
        values.append(best.values)
        places.append(best.indices + part.start)
    best_values, chosen = torch.cat(values, 1).topk(k)
    return best_values, torch.cat(places, 1).gather(1, chosen)


def _part_sum(scores: Tensor, codes: Tensor, bias: Tensor | None) -> Tensor:
    return token_scores(scores, codes, bias).logsumexp(-1)


def _parts(tokens: int, rows: int) -> list[slice]:
    step = max(1, _CHUNK_ELEMENTS // max(rows, 1))
    return [slice(start, min(start + step, tokens)) for start in range(0, tokens, step)]
