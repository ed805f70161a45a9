"""The softmax of a subspace table against the composed table, one dense product and autograd, in float64."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor
from torch.nn import functional as F

from zoo.layers import digit_softmax
from zoo.layers.subspace_table import SubspaceTable

# V, f, own rows: perfect powers, primes, one table, fewer tokens than a full base, many digits
SHAPES = [
    (1000, 3, 0),
    (997, 3, 0),
    (50, 2, 0),
    (49, 2, 0),
    (243, 5, 0),
    (500, 4, 7),
    (2, 1, 0),
    (3, 2, 0),
    (300, 1, 0),
    (101, 2, 30),
    (64, 6, 0),
]


def composed(table: SubspaceTable) -> Tensor:
    """The V x D table, row by row."""
    rows = []
    for place in table.places.tolist():
        if place < table.own_rows:
            assert table.own is not None
            rows.append(table.own.matrix[place])
            continue
        codes = table.codes[place - table.own_rows].tolist()
        rows.append(torch.cat([table.matrix[j * table.base + c] for j, c in enumerate(codes)]))
    return torch.stack(rows)


def make(vocab: int, tables: int, own: int, codes: str) -> SubspaceTable:
    torch.manual_seed(0)
    table = SubspaceTable(vocab, 60, 0.5, tables, own).double()
    if codes != "sequential":
        places = torch.randperm(vocab)
        tail = vocab - own
        numbers = torch.randperm(tail) if codes == "permuted" else torch.randperm(table.base**tables)[:tail]
        powers = torch.tensor([table.base**j for j in range(tables)])
        table.assign(places, numbers[:, None] // powers % table.base)
    return table


@pytest.mark.parametrize(("vocab", "tables", "own"), SHAPES)
@pytest.mark.parametrize("codes", ["sequential", "permuted", "free"])
@pytest.mark.parametrize("biased", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("most_cells", [10**6, 0], ids=["grid", "gather"])
def test_equals_the_dense_softmax_with_gradients(
    vocab: int, tables: int, own: int, codes: str, biased: bool, most_cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digit_softmax, "_MOST_CELLS", most_cells)
    table = make(vocab, tables, own, codes)
    hidden = torch.randn(17, 60, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(vocab, dtype=torch.float64, requires_grad=True) if biased else None
    targets = torch.randint(vocab, (17,))
    leaves = [hidden, *table.parameters(), *([bias] if bias is not None else [])]
    torch.testing.assert_close(table.weight(), composed(table), rtol=0, atol=0)
    ours = table.cross_entropy(hidden, targets, bias)
    theirs = F.cross_entropy(F.linear(hidden, composed(table), bias), targets)
    assert abs(float((ours - theirs).detach())) < 1e-10
    for mine, other in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("vocab", "tables", "own"), SHAPES)
@pytest.mark.parametrize("codes", ["sequential", "permuted", "free"])
def test_best_tokens(vocab: int, tables: int, own: int, codes: str) -> None:
    table = make(vocab, tables, own, codes)
    hidden = torch.randn(9, 60, dtype=torch.float64)
    for bias in (None, torch.randn(vocab, dtype=torch.float64)):
        dense = F.linear(hidden, composed(table), bias)
        for k in {1, min(5, vocab), min(40, vocab)}:
            values, ids = table.topk(hidden, k, bias)
            torch.testing.assert_close(values, dense.topk(k).values)
            torch.testing.assert_close(dense.gather(1, ids), values)
        targets = torch.randint(vocab, (9,))
        better = dense > dense.gather(1, targets[:, None])
        assert torch.equal(table.ranks(hidden, targets, bias), 1 + better.sum(1))


def test_marginals_of_the_digits_multiply() -> None:
    """Without a bias and with all codes in use a token's probability is the product of those of its digits."""
    table = make(125, 3, 0, "sequential")
    hidden = torch.randn(1, 60, dtype=torch.float64)
    probabilities = (hidden @ composed(table).T).softmax(-1)[0]
    scores = table._softmax(hidden, None)[0].scores
    for v in (0, 7, 124):
        parts = [scores[j, 0].softmax(-1)[v // 5**j % 5] for j in range(3)]
        assert float((probabilities[v] - torch.stack(parts).prod()).detach().abs()) < 1e-14


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("digits", "base"), [(1, 20), (2, 8), (3, 4), (4, 3)])
def test_a_grid_whose_best_cell_is_empty(
    digits: int, base: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    summed_again = mock.Mock(wraps=digit_softmax._grid_exact)
    monkeypatch.setattr(digit_softmax, "_grid_exact", summed_again)
    scores = torch.randn(digits, 6, base, dtype=dtype) * (300 if dtype == torch.float32 else 30_000)
    bias = torch.randn(base**digits, dtype=dtype)
    bias[torch.randn(base**digits) > 0] = -torch.inf
    powers = torch.tensor([base**j for j in range(digits)])
    bias[(scores.argmax(-1).T * powers).sum(1)] = -torch.inf
    scores.requires_grad_()
    bias.requires_grad_()
    found = digit_softmax.grid(scores, bias)
    assert summed_again.called
    picked = torch.arange(base**digits)[:, None] // powers % base
    exact = (torch.stack([scores[j][:, picked[:, j]] for j in range(digits)]).sum(0) + bias).logsumexp(-1)
    torch.testing.assert_close(found, exact)
    ours, theirs = (torch.autograd.grad(value.sum(), (scores, bias), retain_graph=True) for value in (found, exact))
    torch.testing.assert_close(ours, theirs)


def test_a_grid_in_chunks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 10, 4, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(64, dtype=torch.float64, requires_grad=True)
    chunk_sums = mock.Mock(wraps=digit_softmax._grid_sums)
    monkeypatch.setattr(digit_softmax, "_grid_sums", chunk_sums)
    found = []
    for size in (10**6, 3 * 16):
        monkeypatch.setattr(digit_softmax, "_CHUNK_ELEMENTS", size)
        chunk_sums.reset_mock()
        sums = digit_softmax.grid(scores, bias)
        assert chunk_sums.call_count == (1 if size == 10**6 else 4)
        found.append((sums, *torch.autograd.grad(sums.square().sum(), (scores, bias))))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("vocab", "width", "tables"), [(10, 6, 2), (30, 8, 2), (27, 12, 3), (100, 8, 4), (16, 16, 2)])
def test_rank(vocab: int, width: int, tables: int) -> None:
    torch.manual_seed(0)
    table = SubspaceTable(vocab, width, 1.0, tables).double()
    assert int(torch.linalg.matrix_rank(table.weight().detach())) == table.rank_bound


@pytest.mark.parametrize(("vocab", "tables", "own"), [(47, 2, 0), (49, 2, 0), (61, 3, 5), (7, 1, 0), (64, 6, 0)])
@pytest.mark.parametrize("codes", ["permuted", "free"])
@pytest.mark.parametrize("biased", [False, True], ids=["plain", "bias"])
def test_sampled_tokens_occur_as_often_as_they_should(
    vocab: int, tables: int, own: int, codes: str, biased: bool
) -> None:
    draws = 20_000
    table = make(vocab, tables, own, codes)
    hidden = torch.randn(1, 60, dtype=torch.float64) / 4
    bias = torch.randn(vocab, dtype=torch.float64) / 2 if biased else None
    with torch.no_grad():
        chances = F.linear(hidden, composed(table), bias).softmax(-1)[0]
        ids = table.sample(hidden.expand(draws, -1), bias, torch.Generator().manual_seed(1))
    expected = chances * draws
    found = ids.bincount(minlength=vocab).double()
    # cells of less than 5 expected draws are one cell, as the test of Pearson asks
    rare = expected < 5
    cells = [(found[~rare], expected[~rare]), (found[rare].sum()[None], expected[rare].sum()[None])]
    statistic = sum(float(((o - e) ** 2 / e).sum()) for o, e in cells if float(e.sum()) > 0)
    assert chi2.sf(statistic, int((~rare).sum())) > 1e-4
