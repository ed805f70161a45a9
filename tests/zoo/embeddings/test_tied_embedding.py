from __future__ import annotations

import torch

from zoo.embeddings import TiedEmbedding
from zoo.heads import SoftmaxHead


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
