"""Spherical losses over tied subspace tables, against all V outputs of the composed table, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zoo.heads.gram_table import GramTable
from zoo.heads.sparse_target import (
    Outputs,
    SphericalLoss,
    SphericalSoftmax,
    SphericalZLoss,
    SquaredError,
    TaylorSoftmax,
)
from zoo.layers.digits import digits_of
from zoo.layers.subspace_table import SubspaceTable

D = 12
LOSSES = [SquaredError(), SphericalSoftmax(), TaylorSoftmax(), SphericalZLoss(1.0, 2.0)]


def made(rows: int, tables: int, own: int, helping: bool) -> SubspaceTable:
    torch.manual_seed(0)
    table = SubspaceTable(rows, D, 1.0, tables, own).double()
    places = torch.randperm(rows)
    codes = digits_of(torch.randperm(table.base**tables)[: rows - own], table.base, tables)
    table.assign(places, codes)
    if helping:
        table.add_helpers()
        table.double()
        table.help_with(torch.randint(table.base, codes.shape), 0)
        assert table.helpers is not None
        torch.nn.init.normal_(table.helpers)
    return table


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("helping", [False, True])
@pytest.mark.parametrize(("rows", "tables", "own"), [(64, 2, 0), (61, 3, 0), (37, 1, 0), (3, 2, 0), (97, 2, 11)])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_losses_and_gradients_are_those_of_the_composed_table(
    loss: SphericalLoss, rows: int, tables: int, own: int, helping: bool, bias: bool
) -> None:
    table = GramTable(made(rows, tables, own, helping), bias).double()
    if table.bias is not None:
        torch.nn.init.normal_(table.bias)
    hidden = torch.randn(9, D, dtype=torch.float64, requires_grad=True)
    targets, values = torch.randint(rows, (9, 2)), torch.rand(9, 2, dtype=torch.float64)
    leaves = [hidden, *table.parameters()]

    def gradients(value: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(value, leaves))

    found = table.mean_loss(hidden, targets, values, loss)
    o = hidden @ table.weight().T
    o = o if table.bias is None else o + table.bias
    outputs = Outputs(o.square().sum(-1), o.sum(-1), o.gather(1, targets), rows)
    wanted = torch.zeros_like(o).scatter_add(1, targets, values)  # a class may stand twice in its row
    each = (o - wanted).square().sum(-1) if loss.is_regression else loss.partials(outputs, values).value
    expected = each.mean()
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    for one, other in zip(gradients(found), gradients(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10 * max(1.0, float(other.abs().max())))
    scored = torch.cat([scores for _, scores in table.score_blocks(hidden)], 1)
    torch.testing.assert_close(scored, o.detach())


def test_counts_follow_the_codes() -> None:
    inner = made(64, 2, 0, helping=False)
    table = GramTable(inner, bias=False)
    hidden, targets = torch.randn(4, D, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.int64)
    before = table.outputs(hidden, targets).square_norm
    torch.testing.assert_close(before, (hidden @ table.weight().T).square().sum(-1))
    inner.assign(inner.places.long(), inner.codes.flip(0).roll(1, 1).long())
    torch.testing.assert_close(table.outputs(hidden, targets).square_norm, (hidden @ table.weight().T).square().sum(-1))
