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

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from zoo.layers.digits import digits_of

DigitScores = Float[Tensor, "digits rows base"]
# Scores of one chunk of tokens held at a time, in numbers.
_CHUNK_ELEMENTS = 8_000_000


def box(scores: DigitScores, size: int) -> Float[Tensor, " rows"]:
    """Log of the sum over tokens whose codes spell the numbers 0 to `size` - 1.

    The numbers below `size` fall into one box for each digit D_j > 0 of `size`: the digits above j are those of
    `size`, digit j is less than D_j, and the digits below j are free. The sum over a box is a product of sums.

    Args:
        scores: S, the least significant digit first.
        size: V, at most n^f.
    """
    return torch.stack([term for *_, term in _boxes(scores, size)]).logsumexp(0)


def _boxes(scores: Tensor, size: int) -> Iterator[tuple[list[int], int, int, Tensor]]:
    """Fixed digits above, index of the restricted digit, its limit, and the log sum of each box: (rows,)."""
    count, _, base = scores.shape
    whole = scores.logsumexp(-1)
    if size == base**count:
        yield [], count - 1, base, whole.sum(0)
        return
    limits = digits_of(torch.tensor([size]), base, count)[0].tolist()
    above = torch.zeros_like(whole[0])
    for j in reversed(range(count)):
        if limits[j]:
            yield limits[j + 1 :], j, limits[j], above + scores[j, :, : limits[j]].logsumexp(-1) + whole[:j].sum(0)
        above = above + scores[j, :, limits[j]]


def box_topk(scores: DigitScores, size: int, k: int) -> tuple[Float[Tensor, "rows best"], Int[Tensor, "rows best"]]:
    """The `k` best scores and the numbers that their codes spell, best first; fewer where there are fewer tokens.

    The best of a box are sums of the best of its digits, so k x k sums a digit are enough.

    Args:
        scores: S, the least significant digit first.
        size: V, at most n^f.
        k: how many, at most `size`.
    """
    values, numbers = [], []
    base = scores.shape[2]
    for above, j, limit, _ in _boxes(scores, size):
        best, spelled = scores[j, :, :limit].topk(min(k, limit))
        spelled = spelled * base**j
        for i, digit in enumerate(above, start=j + 1):
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
