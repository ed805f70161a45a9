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
