from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from zoo.contracts import PackedBatch, PairBatch, PairView
from zoo.embeddings import ChainedSubspaceEmbedding, TiedEmbedding
from zoo.objectives import Contrastive

Make = Callable[..., PackedBatch]
Build = Callable[..., Any]


def test_embeds_with_the_mean_of_the_hidden_vectors(built: Build, make_batch: Make, assert_close: Any) -> None:
    objective, batch = built(Contrastive), make_batch([3, 5])
    hidden = objective.encode(batch, causal=False).hidden
    expected = torch.stack([part.mean(0) for part in hidden.split([3, 5])])
    assert_close(objective.embed(batch), expected)


def test_prefixes_are_what_it_asks_of_its_data(built: Build) -> None:
    assert built(Contrastive).view == PairView("search_query: ", "search_document: ")
    assert built(Contrastive, prefixes=PairView("q ", "d ")).view == PairView("q ", "d ")


def test_predicts_both_sides(built: Build, make_batch: Make) -> None:
    queries, documents = built(Contrastive).predict_step(PairBatch(make_batch([3, 5]), make_batch([6, 6])), 0)
    assert queries.shape == documents.shape == (2, 16)


@pytest.mark.parametrize("embedding", [partial(TiedEmbedding, dim=6), ChainedSubspaceEmbedding, TiedEmbedding])
def test_every_trained_parameter_gets_a_gradient(built: Build, make_batch: Make, embedding: Any) -> None:
    """Processes that train together wait for all of them."""
    objective = built(Contrastive, embedding=embedding)
    objective.embed(make_batch([3, 5])).square().sum().backward()
    assert all(p.grad is not None for p in objective.parameters() if p.requires_grad)
