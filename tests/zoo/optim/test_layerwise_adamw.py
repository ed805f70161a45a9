from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import nn

from zoo.embeddings import FullEmbedding, TiedEmbedding
from zoo.encoders import DenseEncoder
from zoo.layers.learned_positions import LearnedPositions
from zoo.objectives import CausalLM
from zoo.optim import LayerwiseAdamW, WarmupCosine
from zoo.optim.groups import by_role


def rates(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


def model(tokenizer: Tokenizer, tied: bool) -> CausalLM:
    def encoder(width: int) -> DenseEncoder:
        return DenseEncoder(width, num_layers=3, num_heads=2, positions=LearnedPositions)

    made = CausalLM(16, TiedEmbedding if tied else FullEmbedding, encoder)
    made.build(tokenizer, 32)
    return made


@pytest.mark.parametrize("decay", [0.5, 2.0])
@pytest.mark.parametrize("tied", [False, True])
def test_rates_change_towards_the_input(tokenizer: Tokenizer, tied: bool, decay: float) -> None:
    made = model(tokenizer, tied)
    optimizer = LayerwiseAdamW(by_role(made), lr=1.0, layer_decay=decay)
    found = rates(made, optimizer)
    assert found.keys() == {name for name, p in made.named_parameters() if p.requires_grad}
    expected = dict.fromkeys(("embedding", "encoder.positions", "encoder.input_norm"), decay**3)
    expected |= {f"encoder.layers.{i}.": decay ** (2 - i) for i in range(3)}
    for name, rate in found.items():
        assert rate == next((r for start, r in expected.items() if name.startswith(start)), 1.0), name
    assert found["encoder.output_norm.weight"] == 1


def test_groups_keep_what_they_say_of_each_parameter(tokenizer: Tokenizer) -> None:
    groups = LayerwiseAdamW(by_role(model(tokenizer, False)), weight_decay=0.3).param_groups
    assert all(len(g["params"]) == len(g["layers"]) and len(set(g["layers"])) == 1 for g in groups)
    tables = [g for g in groups if g["role"] == "vocabulary"]
    assert {g["side"]: (g["layers"], g["table_rows"]) for g in tables} == {
        "input": ([0], [(65,)]),
        "output": ([3], [(65,)]),
    }
    assert {g["role"]: g["weight_decay"] for g in groups} == {"vocabulary": 0, "matrix": 0.3, "vector": 0}


def test_without_decay_it_is_adamw(tokenizer: Tokenizer, make_batch: Callable[..., Any]) -> None:
    found = []
    for make in (LayerwiseAdamW, torch.optim.AdamW):
        torch.manual_seed(0)
        made = model(tokenizer, False)
        options: dict[str, Any] = {"layer_decay": 1.0} if make is LayerwiseAdamW else {}
        optimizer = make(by_role(made), lr=0.01, **options)
        for step in range(3):
            output, positions, targets = made.predict_tokens(make_batch([7, 5, 9], seed=step), None)
            optimizer.zero_grad()
            made.head.loss(output.hidden[positions], targets).loss.backward()
            optimizer.step()
        found.append(made.state_dict())
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


def test_a_schedule_multiplies_all_rates(tokenizer: Tokenizer) -> None:
    made = model(tokenizer, False)
    optimizer = LayerwiseAdamW(by_role(made), lr=1.0, layer_decay=0.5)
    WarmupCosine(optimizer, 10, warmup=2.0)
    assert sorted(set(rates(made, optimizer).values())) == [0.0625, 0.125, 0.25, 0.5]


def test_refusals(tokenizer: Tokenizer) -> None:
    groups = by_role(model(tokenizer, False))
    for decay in (0.0, float("inf")):
        with pytest.raises(ValueError, match="layer_decay must be above 0 and finite"):
            LayerwiseAdamW(groups, layer_decay=decay)
    with pytest.raises(ValueError, match=r"layer_decay 1e\+30 over \d layers leaves all numbers"):
        LayerwiseAdamW(groups, layer_decay=1e30)
    with pytest.raises(ValueError, match=r"must know the layers: pass zoo\.optim\.groups\.by_role"):
        LayerwiseAdamW(nn.Linear(2, 2).parameters())
    with pytest.raises(ValueError, match="finds no layers in the model: use AdamW"):
        LayerwiseAdamW(by_role(nn.Linear(2, 2)))
