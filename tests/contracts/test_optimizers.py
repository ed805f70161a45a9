"""Every optimizer trains every parameter of a model by its role, saves, and goes on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch.optim import Optimizer

from zoo.embeddings import FullEmbedding, TiedEmbedding
from zoo.objectives import CausalLM
from zoo.optim.groups import by_role


@pytest.mark.parametrize("embedding", [FullEmbedding, TiedEmbedding])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_trains_saves_and_goes_on(
    optimizer_class: type[Optimizer],
    embedding: Any,
    dtype: torch.dtype,
    tokenizer: Tokenizer,
    make_batch: Callable[..., Any],
) -> None:
    def model() -> CausalLM:
        torch.manual_seed(0)
        made = CausalLM(16, embedding)
        made.build(tokenizer, 32)
        return made.to(dtype)

    def train(model: CausalLM, optimizer: Optimizer, steps: range) -> None:
        for step in steps:
            output, positions, targets = model.predict_tokens(make_batch([7, 5, 9], seed=step), None)
            optimizer.zero_grad()
            model.head.loss(output.hidden[positions], targets).loss.backward()
            optimizer.step()

    make: Any = optimizer_class
    whole, cut = model(), model()
    start = {name: p.detach().clone() for name, p in whole.named_parameters()}
    uninterrupted, first = make(by_role(whole), lr=0.05), make(by_role(cut), lr=0.05)
    train(whole, uninterrupted, range(6))
    assert all(not torch.equal(p, start[name]) for name, p in whole.named_parameters()), "each parameter moved"
    train(cut, first, range(3))
    second = make(by_role(cut), lr=0.05)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(cut, second, range(3, 6))
    for (name, one), other in zip(whole.named_parameters(), cut.parameters(), strict=True):
        assert torch.equal(one, other), name
