from __future__ import annotations

import torch

from zoo.embeddings import FullEmbedding


def test_rows_of_the_table_and_their_gradients() -> None:
    embedding = FullEmbedding(6, 4)
    vectors = embedding(torch.tensor([2, 5, 2]))
    assert torch.equal(vectors, embedding.weight[[2, 5, 2]])
    vectors.sum().backward()
    assert embedding.weight.grad is not None
    assert embedding.weight.grad[:, 0].tolist() == [0, 0, 2, 0, 0, 1]


def test_shares_no_table() -> None:
    assert FullEmbedding(6, 4).output_table() is None


def test_initial_deviation() -> None:
    torch.manual_seed(0)
    assert abs(float(FullEmbedding(500, 40, init_std=0.3).weight.detach().std()) - 0.3) < 0.01


def test_unit_rows_have_length_one() -> None:
    torch.manual_seed(0)
    embedding = FullEmbedding(500, 40, init_std=0.3, unit_rows=True)
    vectors = embedding(torch.arange(500))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(500))
    torch.testing.assert_close(vectors * embedding.weight.norm(dim=1, keepdim=True), embedding.weight)
    (vectors @ torch.randn(40)).sum().backward()
    assert embedding.weight.grad is not None
    along = (embedding.weight.grad * embedding.weight).sum(1)
    torch.testing.assert_close(along, torch.zeros(500), atol=1e-4, rtol=0)
