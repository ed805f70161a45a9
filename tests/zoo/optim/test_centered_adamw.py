from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from zoo.embeddings import SubspaceEmbedding
from zoo.heads import SoftmaxHead
from zoo.optim import CenteredAdamW
from zoo.optim.groups import by_role


def group(table: nn.Parameter, side: str, rows: tuple[int, ...] | None = None) -> dict[str, Any]:
    return {"role": "vocabulary", "side": side, "zero_sum": True, "params": [table], "table_rows": [rows]}


def test_output_tables_are_centred_and_nothing_else() -> None:
    torch.manual_seed(0)
    sides = {side: nn.Parameter(torch.randn(9, 4)) for side in ("input", "output", "tied")}
    matrix = nn.Parameter(torch.randn(9, 4))
    plain = {name: nn.Parameter(p.detach().clone()) for name, p in [*sides.items(), ("matrix", matrix)]}
    groups = [*(group(table, side) for side, table in sides.items()), {"role": "matrix", "params": [matrix]}]
    optimizer = CenteredAdamW(groups, lr=0.1, table_weight_decay=0.2)
    adamw = torch.optim.AdamW(
        [{"params": [p], "weight_decay": 0.1 if n == "matrix" else 0.2} for n, p in plain.items()],
        lr=0.1,
        betas=(0.9, 0.95),
    )
    for ours, theirs in zip([*sides.values(), matrix], plain.values(), strict=True):
        ours.grad = torch.randn_like(ours)
        theirs.grad = ours.grad.clone()
    optimizer.step()
    adamw.step()
    assert torch.equal(matrix, plain["matrix"])
    assert torch.equal(sides["input"], plain["input"])
    for side in ("output", "tied"):
        expected = plain[side].detach() - plain[side].detach().mean(0)
        torch.testing.assert_close(sides[side].detach(), expected)
        assert float(sides[side].detach().mean(0).abs().max()) < 1e-6


def test_padding_stays_out_of_the_mean_and_tables_have_their_own() -> None:
    table = nn.Parameter(torch.randn(10, 4))
    optimizer = CenteredAdamW([group(table, "output", rows=(4, 3))], lr=0.1)
    table.grad = torch.randn(10, 4)
    optimizer.step()
    for rows in (slice(0, 4), slice(4, 7)):
        assert float(table.detach()[rows].mean(0).abs().max()) < 1e-6
    assert float(table.detach()[7:].mean(0).abs().max()) > 1e-3


def test_a_model_without_an_output_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no output table to centre"):
        CenteredAdamW([group(nn.Parameter(torch.ones(3, 3)), "input")])
    with pytest.raises(ValueError, match="by_role"):
        CenteredAdamW([{"params": [nn.Parameter(torch.ones(3, 3))]}])


def test_a_table_with_own_rows_would_be_another_model() -> None:
    embedding = SubspaceEmbedding(50, 8, own_rows=9, tied=True)
    model = nn.ModuleList([embedding, SoftmaxHead(embedding.table, bias=False)])
    with pytest.raises(ValueError, match="set own_rows: 0"):
        CenteredAdamW(by_role(model))


def test_short_tables_are_centred_without_changing_the_model() -> None:
    torch.manual_seed(0)
    embedding = SubspaceEmbedding(50, 8, tied=True, init_std=1.0)
    head = SoftmaxHead(embedding.table, bias=False)
    hidden, targets = torch.randn(5, 8), torch.arange(5)
    before = head.loss(hidden, targets)
    before.loss.backward()
    CenteredAdamW(by_role(nn.ModuleList([embedding, head])), lr=0.0).step()
    torch.testing.assert_close(head.loss(hidden, targets).nll, before.nll)
    for rows in embedding.table.matrix.detach().split(embedding.table.base):
        assert float(rows.mean(0).abs().max()) < 1e-6
