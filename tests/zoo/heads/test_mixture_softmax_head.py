from __future__ import annotations

import pytest
import torch

from zoo.contracts import OutputTable
from zoo.heads import MixtureSoftmaxHead
from zoo.layers.output_matrix import OutputMatrix
from zoo.layers.subspace_table import SubspaceTable


@pytest.mark.parametrize(
    "table", [OutputMatrix(30, 8, 1.0), SubspaceTable(30, 8, 1.0, own_rows=4)], ids=["full", "sub"]
)
def test_is_a_weighted_mean_of_softmaxes(table: OutputTable) -> None:
    torch.manual_seed(0)
    head = MixtureSoftmaxHead(table.double(), components=3).double()
    hidden = torch.randn(30, 8, dtype=torch.float64)
    weights = (hidden @ head.weights.weight.T).softmax(-1)
    chances = torch.zeros(30, 30, dtype=torch.float64)
    for k in range(3):
        projected = hidden @ head.project.weight[8 * k : 8 * (k + 1)].T
        chances += weights[:, k : k + 1] * (projected @ table.weight().T).softmax(-1)
    with torch.no_grad():
        found = head.log_probs(hidden, torch.arange(30))
        values, ids = head.topk(hidden, 4)
    torch.testing.assert_close(found.exp(), chances.diagonal().detach())
    torch.testing.assert_close(values.exp(), chances.topk(4).values.detach())
    assert torch.equal(ids, chances.topk(4).indices)
    drawn = head.sample(hidden[:1].expand(4000, -1), generator=torch.Generator().manual_seed(0)).bincount(minlength=30)
    assert float((drawn / 4000 - chances[0].detach()).abs().max()) < 0.04


def test_refuses_what_it_cannot_do() -> None:
    table = OutputMatrix(30, 8)
    with pytest.raises(ValueError, match="at least one component"):
        MixtureSoftmaxHead(table, components=0)
    head = MixtureSoftmaxHead(table)
    with pytest.raises(ValueError, match="temperature 1 only"):
        head.sample(torch.zeros(1, 8), temperature=0.5)
    with pytest.raises(ValueError, match="at least one target"):
        head.loss(torch.zeros(0, 8), torch.zeros(0, dtype=torch.int64))
