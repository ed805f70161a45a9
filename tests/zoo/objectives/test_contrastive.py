from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from zoo.contracts import PackedBatch, PairBatch, PairView
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
