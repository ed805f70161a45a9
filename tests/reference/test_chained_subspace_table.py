"""Digits predicted one after the other, against two plain softmaxes for every token, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zoo.embeddings import ChainedSubspaceEmbedding
from zoo.embeddings.codes import ReclusterCodes
from zoo.heads import SoftmaxHead
from zoo.layers.chained_subspace_table import ChainedSubspaceTable


def make(vocab: int, own: int, free: bool) -> ChainedSubspaceTable:
    torch.manual_seed(0)
    table = ChainedSubspaceTable(vocab, 12, 0.7, own).double()
    torch.nn.init.normal_(table.follow.weight, std=0.5)
    tail = vocab - own
    numbers = torch.randperm(table.base**2)[:tail] if free else torch.randperm(tail)
    table.assign(torch.randperm(vocab), torch.stack([numbers % table.base, numbers // table.base], 1))
    return table


def slow_log_probs(table: ChainedSubspaceTable, h: Tensor, bias: Tensor) -> Tensor:
    """Log-probability of every token after one hidden vector, by loops over tokens and digits."""
    low_rows, high_rows = table.matrix[: table.base], table.matrix[table.base :]
    ids = {int(place): token for token, place in enumerate(table.places)}
    codes = [tuple(code) for code in table.codes.tolist()]
    first: list[Tensor] = []
    if table.own is not None:
        first += [table.own.matrix[place] @ h + bias[ids[place]] for place in range(table.own_rows)]
    highs = sorted({high for _, high in codes})
    first += [high_rows[high] @ h[6:] for high in highs]
    log_first = torch.stack(first).log_softmax(0)
    found = torch.empty(table.num_rows, dtype=torch.float64)
    for place in range(table.own_rows):
        found[ids[place]] = log_first[place]
    for number, high in enumerate(highs):
        inside = [place for place, code in enumerate(codes) if code[1] == high]
        shifted = h[:6] + table.follow.weight @ high_rows[high]
        scores = [low_rows[codes[place][0]] @ shifted + bias[ids[place + table.own_rows]] for place in inside]
        for place, log_second in zip(inside, torch.stack(scores).log_softmax(0), strict=True):
            found[ids[place + table.own_rows]] = log_first[table.own_rows + number] + log_second
    return found


@pytest.mark.parametrize(("vocab", "own", "free"), [(20, 0, False), (25, 0, False), (23, 4, False), (23, 4, True)])
def test_equals_two_softmaxes_with_gradients(vocab: int, own: int, free: bool) -> None:
    table = make(vocab, own, free)
    hidden = torch.randn(vocab, 12, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(vocab, dtype=torch.float64, requires_grad=True)
    targets = torch.randperm(vocab)
    every = torch.stack([slow_log_probs(table, h, bias) for h in hidden])
    torch.testing.assert_close(every.exp().sum(1), torch.ones(vocab, dtype=torch.float64))
    slow = -every[torch.arange(vocab), targets].mean()
    ours = table.cross_entropy(hidden, targets, bias)
    leaves = [hidden, bias, *table.parameters()]
    assert float((ours - slow).detach().abs()) < 1e-10
    for mine, other in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(slow, leaves), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)
    better = every > every.gather(1, targets[:, None])
    assert torch.equal(table.ranks(hidden, targets, bias), 1 + better.sum(1))
    values, ids = table.topk(hidden, 5, bias)
    expected = every.topk(5)
    torch.testing.assert_close(values, expected.values)
    assert torch.equal(ids, expected.indices)


def test_draws_no_code_that_belongs_to_no_token() -> None:
    table = make(23, 4, free=True)
    drawn = table.sample(torch.zeros(2000, 12, dtype=torch.float64))
    assert set(drawn.tolist()) == set(range(23))


def test_refuses_what_it_cannot_do() -> None:
    table = make(23, 4, free=False)
    head = SoftmaxHead(table).double()
    with pytest.raises(ValueError, match="temperature 1 only"):
        head.sample(torch.zeros(1, 12, dtype=torch.float64), temperature=2.0)
    with pytest.raises(ValueError, match="do not go together"):
        ChainedSubspaceEmbedding(23, 12, codes=ReclusterCodes)
