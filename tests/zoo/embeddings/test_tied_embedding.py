from __future__ import annotations

import pytest
import torch

from zoo.embeddings import TiedEmbedding
from zoo.heads import SoftmaxHead
from zoo.optim.groups import by_role


def test_both_sides_are_one_parameter() -> None:
    embedding = TiedEmbedding(6, 4)
    head = SoftmaxHead(embedding.output_table(), bias=False)
    assert [id(p) for p in embedding.parameters()] == [id(p) for p in head.parameters()]
    assert embedding.num_parameters == 24


def test_gradients_of_both_sides_add_up() -> None:
    torch.manual_seed(0)
    embedding = TiedEmbedding(6, 4)
    table = embedding.output_table()
    tokens, targets = torch.tensor([0, 1, 1]), torch.tensor([1, 2, 3])
    SoftmaxHead(table, bias=False).loss(embedding(tokens), targets).loss.backward()
    once = table.weight().detach().clone().requires_grad_()
    torch.nn.functional.cross_entropy(once[tokens] @ once.T, targets).backward()
    (parameter,) = embedding.parameters()
    assert parameter.grad is not None
    assert once.grad is not None
    assert torch.allclose(parameter.grad, once.grad, atol=1e-6)


def test_rows_of_the_output_table() -> None:
    table = TiedEmbedding(6, 4).output_table()
    assert torch.equal(table.rows(torch.tensor([3, 3])), table.weight()[[3, 3]])


def test_rows_of_another_size_are_projected_on_both_sides() -> None:
    torch.manual_seed(0)
    embedding = TiedEmbedding(6, 4, init_std=1.0, dim=3)
    head = SoftmaxHead(embedding.output_table(), bias=False)
    shapes = {name: tuple(p.shape) for name, p in embedding.named_parameters()}
    assert shapes == {"table.table.matrix": (6, 3), "table.project.weight": (3, 4), "widen.weight": (4, 3)}
    rows, out, into = (parameter.detach() for parameter in embedding.parameters())
    assert torch.allclose(embedding(torch.arange(6)), rows @ into.T)
    hidden, targets = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 5])
    expected = torch.nn.functional.cross_entropy(hidden @ out.T @ rows.T, targets)
    assert head.loss(hidden, targets).nll.item() == pytest.approx(float(expected), rel=1e-6)
    assert torch.allclose(embedding.output_table().weight(), rows @ out)
    groups = {g["role"]: g for g in by_role(torch.nn.ModuleList([embedding, head]))}
    assert [tuple(p.shape) for p in groups["vocabulary"]["params"]] == [(6, 3)]
    assert groups["vocabulary"]["side"] == "tied"
    assert len(groups["matrix"]["params"]) == 2


def test_rows_need_a_number() -> None:
    with pytest.raises(ValueError, match="dim=0"):
        TiedEmbedding(6, 4, dim=0)
