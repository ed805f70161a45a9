from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from zoo.encoders import DenseEncoder
from zoo.objectives import CausalLM
from zoo.optim import CenteredAdamW, CoupledAdamW
from zoo.optim.fused import prefer_fused
from zoo.optim.groups import by_role

Make = Callable[..., Optimizer]


def fused(optimizer: Optimizer) -> list[bool | None]:
    return [group.get("fused") for group in optimizer.param_groups]


@pytest.mark.parametrize("make", [partial(AdamW, weight_decay=0.1), Adam, partial(SGD, momentum=0.9)])
def test_the_step_is_the_same(make: Make) -> None:
    torch.manual_seed(0)
    one = nn.Linear(5, 3).double()
    two = copy.deepcopy(one)
    optimizers = make(one.parameters(), lr=0.1), make(two.parameters(), lr=0.1)
    prefer_fused(optimizers[0])
    assert fused(optimizers[0]) == [True]
    assert fused(optimizers[1]) == [None]
    for _ in range(5):
        x = torch.randn(4, 5, dtype=torch.float64)
        for module, optimizer in zip((one, two), optimizers, strict=True):
            optimizer.zero_grad()
            module(x).square().sum().backward()
            optimizer.step()
    for ours, theirs in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "value"), [("fused", False), ("foreach", True), ("foreach", False)])
def test_what_a_user_chose_stays(name: str, value: bool) -> None:
    make: Make = AdamW
    optimizer = make(nn.Linear(5, 3).parameters(), **{name: value})
    before = fused(optimizer)
    prefer_fused(optimizer)
    assert fused(optimizer) == before


def test_an_optimizer_without_such_a_step_stays() -> None:
    optimizer = torch.optim.Rprop(nn.Linear(5, 3).parameters())
    prefer_fused(optimizer)
    assert fused(optimizer) == [None]


@pytest.mark.parametrize("make", [CoupledAdamW, CenteredAdamW])
def test_coupled_tables_keep_their_own_step(make: Make, tokenizer: Tokenizer) -> None:
    model = CausalLM(16, encoder=partial(DenseEncoder, num_layers=1, num_heads=2))
    model.build(tokenizer, 32)
    optimizer = make(by_role(model), lr=0.01)
    prefer_fused(optimizer)
    for group in optimizer.param_groups:
        assert group["fused"] is (None if group.get("coupled") else True)
