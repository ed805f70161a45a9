"""The softmax over tokens whose score is a sum of one number a digit: `z_v = sum_j S_j[c_j(v)] + b_v`.

`S` (digits f, rows N, base n) holds the scores of the digit values. Three exact forms of `log sum_v exp z_v`, which
differ in what they ask of the codes and in what they cost:

- `box`: the codes spell the numbers 0 to V - 1, no bias: O(N f n), whatever V is.
- `grid`: any different codes, any bias: the digits in two halves, one product of exponentials, O(N n^f). Taken while
  n^f is not far above V.
- `gather`: anything: O(N V f), in chunks of tokens that are computed again for the gradient.

References:
    A. Jaiswal and H. Liu, Lightweight Adaptation of Neural Language Models via Subspace Embedding, arXiv 2308.08688,
    for the codes. The forms follow from `exp(a + b) = exp(a) exp(b)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from zoo.layers.box_softmax import DigitScores, box, box_sample, box_sums, box_topk
from zoo.layers.digits import numbers_of
from zoo.layers.linear_cross_entropy import chunk_rows
from zoo.layers.score_blocks import ranks_in

# Scores of one chunk of tokens held at a time, in numbers.
_CHUNK_ELEMENTS = 8_000_000
# Cells of a grid for each token: it holds them all, with or without a token.
_MOST_CELLS = 16


@dataclass(frozen=True)
class DigitSoftmax:
    """The softmax of N rows over V tokens, in the cheapest form that is exact for their codes.

    Args:
        scores: S, the least significant digit first.
        codes: of each token.
        bias: one number a token.
        spells_all: whether the codes spell the numbers 0 to V - 1, in any order.
    """

    scores: DigitScores
    codes: Integer[Tensor, "tokens digits"]
    bias: Float[Tensor, " tokens"] | None
    spells_all: bool

    @property
    def is_box(self) -> bool:
        """Whether the cost does not depend on V."""
        return self.spells_all and self.bias is None

    def log_sum_and_score(self, tokens: Int[Tensor, " rows"]) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
        """`log sum_v exp z_v`, and z of one token a row. They can be differentiated once."""
        picked = self.codes[tokens].long()
        if self.is_box:
            return box(self.scores, len(self.codes), picked)
        score = self.scores.gather(2, picked.T[:, :, None]).sum((0, 2))
        return self.log_sum(), score if self.bias is None else score + self.bias[tokens]

    def log_sum(self) -> Float[Tensor, " rows"]:
        """`log sum_v exp z_v`."""
        count, _, base = self.scores.shape
        if self.is_box:
            return box_sums(self.scores, len(self.codes)).logsumexp(0)
        cells = base**count
        if cells > _MOST_CELLS * len(self.codes):
            return gather(self.scores, self.codes, self.bias)
        empty = self.scores.new_full((cells,), -torch.inf)
        values = self.scores.new_zeros(len(self.codes)) if self.bias is None else self.bias
        return grid(self.scores, empty.index_put((numbers_of(self.codes, base),), values))

    def topk(self, k: int) -> tuple[Float[Tensor, "rows best"], Int[Tensor, "rows best"]]:
        """The `k` best scores and their tokens, best first."""
        if not self.is_box:
            return gather_topk(self.scores, self.codes, self.bias, k)
        values, numbers = box_topk(self.scores, len(self.codes), k)
        return values, self._spelled_by[numbers]

    def ranks(self, places: Int[Tensor, " rows"], others: Float[Tensor, "rows others"] | None) -> Int[Tensor, " rows"]:
        """How many scores are at least as high as the one at each place, itself included: O(N V f).

        Args:
            places: of one token a row, counted behind the other scores.
            others: scores of tokens that are not spelled by digits.
        """
        size, found = chunk_rows(len(self.codes)), [places[:0]]
        for start in range(0, len(places), size):
            rows = slice(start, start + size)
            scores = token_scores(self.scores[:, rows], self.codes, self.bias)
            if others is not None:
                scores = torch.cat([others[rows], scores], 1)
            found.append(ranks_in(scores, places[rows]))
        return torch.cat(found)

    def sample(self, generator: torch.Generator | None) -> Int[Tensor, " rows"]:
        """One token a row."""
        if not self.is_box:
            return gather_sample(self.scores, self.codes, self.bias, generator)
        return self._spelled_by[box_sample(self.scores, len(self.codes), generator)]

    @property
    def _spelled_by(self) -> Tensor:
        """Which token's codes spell each number: (V,)."""
        numbers = numbers_of(self.codes, self.scores.shape[2])
        tokens = torch.empty_like(numbers)
        tokens[numbers] = torch.arange(len(numbers), device=numbers.device)
        return tokens


def grid(scores: DigitScores, bias: Float[Tensor, " cells"]) -> Float[Tensor, " rows"]:
    """Log of the sum over tokens with different codes and a bias.

    The digits in two halves, with scores L and H of the numbers a and b that they spell: `log sum_b sum_a exp(H[b] +
    B[b, a] + L[a])`, as one product of `exp H` with `exp B`, in the precision that torch allows for products. Rows in
    which the sum underflows, because the best digits belong to no token, are summed again in log space.

    Args:
        scores: S, the least significant digit first.
        bias: B, one number for each of the n^f numbers that f digits spell, minus infinity where there is no token.
    """
    count, _, base = scores.shape
    half = (count + 1) // 2
    parts = scores.split(max(1, _CHUNK_ELEMENTS // base**half), 1)
    table = bias.view(base ** (count - half), base**half)
    if len(parts) == 1:
        return _grid_sums(scores, table)
    return torch.cat([checkpoint(_grid_sums, part, table, use_reentrant=False) for part in parts])


def _grid_sums(scores: Tensor, bias: Tensor) -> Tensor:
    half = (len(scores) + 1) // 2
    low, high = _number_scores(scores[:half]), _number_scores(scores[half:])
    low_top, high_top = (part.amax(-1, keepdim=True).detach() for part in (low, high))
    top = bias.max().detach()
    sums = (((high - high_top).exp() @ (bias - top).exp()) * (low - low_top).exp()).sum(-1)
    lost = sums < torch.finfo(sums.dtype).tiny ** 0.5
    # a log of 0 would poison the gradient even where it is not used
    logs = torch.where(lost, torch.ones_like(sums), sums).log() + (low_top + high_top).squeeze(1) + top
    if bool(lost.any()):
        rows = lost.nonzero().squeeze(1)
        parts = rows.split(max(1, _CHUNK_ELEMENTS // bias.numel()))
        exact = [checkpoint(_grid_exact, low[part], high[part], bias, use_reentrant=False) for part in parts]
        logs = logs.index_put((rows,), torch.cat(exact))
    return logs


def _grid_exact(low: Tensor, high: Tensor, bias: Tensor) -> Tensor:
    return (high[:, :, None] + bias + low[:, None, :]).flatten(1).logsumexp(-1)


def _number_scores(scores: Tensor) -> Tensor:
    """Score of each number that some digits spell, (N, n^digits): 0 where there are none."""
    total = scores.new_zeros(scores.shape[1], 1)
    for digit in scores:
        total = (digit[:, :, None] + total[:, None, :]).flatten(1)
    return total


def gather_sample(
    scores: DigitScores,
    codes: Integer[Tensor, "tokens digits"],
    bias: Float[Tensor, " tokens"] | None,
    generator: torch.Generator | None,
) -> Int[Tensor, " rows"]:
    """Index of the codes of one token a row, drawn from the softmax: the best score after Gumbel noise."""
    values, places = [], []
    for part in _parts(len(codes), scores.shape[1]):
        found = token_scores(scores, codes[part], None if bias is None else bias[part])
        uniform = torch.rand(found.shape, dtype=found.dtype, device=found.device, generator=generator)
        best = (found - (-uniform.clamp_min(torch.finfo(found.dtype).tiny).log()).log()).max(-1)
        values.append(best.values)
        places.append(best.indices + part.start)
    chosen = torch.stack(values).argmax(0, keepdim=True)
    return torch.stack(places).gather(0, chosen).squeeze(0)


def gather(
    scores: DigitScores, codes: Integer[Tensor, "tokens digits"], bias: Float[Tensor, " tokens"] | None
) -> Float[Tensor, " rows"]:
    """Log of the sum over tokens with any codes and any bias.

    Args:
        scores: S, the least significant digit first.
        codes: of each token.
        bias: one number a token.
    """
    count, rows, base = scores.shape
    # tokens by rows: a token's score is a sum of f contiguous rows of the short tables
    flat = scores.transpose(1, 2).reshape(count * base, rows)
    picked = codes.long() + base * torch.arange(count, device=codes.device)
    sums = []
    for part in _parts(len(codes), rows):
        mine = None if bias is None else bias[part]
        sums.append(checkpoint(_part_sum, flat, picked[part], mine, use_reentrant=False))
    return torch.stack(sums).logsumexp(0)


def token_scores(
    scores: DigitScores, codes: Integer[Tensor, "tokens digits"], bias: Float[Tensor, " tokens"] | None
) -> Float[Tensor, "rows tokens"]:
    """The scores z themselves, for tokens that are few."""
    total = sum(digit[:, column] for digit, column in zip(scores, codes.long().T, strict=True))
    assert isinstance(total, Tensor)
    return total if bias is None else total + bias


def gather_topk(
    scores: DigitScores, codes: Integer[Tensor, "tokens digits"], bias: Float[Tensor, " tokens"] | None, k: int
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


def _part_sum(flat: Tensor, picked: Tensor, bias: Tensor | None) -> Tensor:
    total = F.embedding_bag(picked, flat, mode="sum")
    return (total if bias is None else total + bias[:, None]).logsumexp(0)


def _parts(tokens: int, rows: int) -> list[slice]:
    step = max(1, _CHUNK_ELEMENTS // max(rows, 1))
    return [slice(start, min(start + step, tokens)) for start in range(0, tokens, step)]
