from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from zoo.contracts import PackedBatch
from zoo.embeddings import TiedEmbedding
from zoo.layers.learned_positions import LearnedPositions
from zoo.optim.groups import by_role

Make = Callable[..., PackedBatch]


def test_each_place_adds_its_own_vector(make_batch: Make) -> None:
    positions = LearnedPositions(6, 2, max_length=4)
    x = torch.randn(7, 6)
    added = positions(x, make_batch([2, 4, 1]).layout(causal=False)) - x
    places = positions.weight.detach()[[0, 1, 0, 1, 2, 3, 0]]
    assert torch.allclose(added, places, atol=1e-6)


def test_a_longer_text_is_refused_and_told_what_to_do(make_batch: Make) -> None:
    positions = LearnedPositions(6, 2, max_length=4)
    with pytest.raises(ValueError, match=r"a text of 5 tokens .* 4 LearnedPositions: set data.max_length to at most 4"):
        positions(torch.randn(6, 6), make_batch([1, 5]).layout(causal=False))


def test_places_are_neither_decayed_nor_coupled_with_the_vocabulary() -> None:
    model = nn.ModuleList([TiedEmbedding(9, 6), LearnedPositions(6, 2), nn.Linear(6, 6, bias=False)])
    groups = {group["role"]: group for group in by_role(model)}
    assert [tuple(p.shape) for p in groups["vector"]["params"]] == [(512, 6)]
    assert groups["vector"]["weight_decay"] == 0
    assert [tuple(p.shape) for p in groups["vocabulary"]["params"]] == [(9, 6)]
    assert [tuple(p.shape) for p in groups["matrix"]["params"]] == [(6, 6)]
