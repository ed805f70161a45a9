from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from zoo.contracts import PackedBatch, PairBatch, PairView, TextView
from zoo.embeddings import FullEmbedding, TiedEmbedding
from zoo.encoders import DenseEncoder
from zoo.objectives.language_model import LanguageModel
from zoo.objectives.objective import Objective
from zoo.optim.groups import by_role

Make = Callable[..., PackedBatch]
ENCODER = partial(DenseEncoder, num_layers=1, num_heads=2)


def build(
    objective_class: Callable[..., Objective], tokenizer: Tokenizer, seed: int = 0, tied: bool = True
) -> Objective:
    torch.manual_seed(seed)
    objective = objective_class(width=16, encoder=ENCODER, embedding=TiedEmbedding if tied else FullEmbedding)
    objective.build(tokenizer, 32)
    return objective


def batch_for(objective: Objective, make_batch: Make) -> PackedBatch | PairBatch:
    text = make_batch([5, 9, 9, 2])
    return text if isinstance(objective.view, TextView) else PairBatch(text, make_batch([3, 4, 8, 9], seed=1))


def outputs(objective: Objective, make_batch: Make) -> Tensor:
    result = objective.predict_step(batch_for(objective, make_batch), 0)
    if isinstance(objective, LanguageModel):
        result = result.nll
    return result if isinstance(result, Tensor) else torch.cat(result)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_training_step_reaches_every_parameter(
    objective_class: Callable[..., Objective],
    tied: bool,
    autocast: bool,
    tokenizer: Tokenizer,
    make_batch: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective = build(objective_class, tokenizer, tied=tied)
    reported: dict[str, Tensor] = {}
    monkeypatch.setattr(objective, "report", lambda stage, values, batch_size: reported.update(values))
    monkeypatch.setattr(objective, "count_tokens", lambda *batches: None)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = objective.training_step(batch_for(objective, make_batch), 0)
    assert isinstance(loss, Tensor)
    loss.backward()
    assert loss.shape == ()
    assert "loss" in reported
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
    assert sum(len(g["params"]) for g in by_role(objective)) == sum(p.requires_grad for p in objective.parameters())


def test_weights_come_back(objective_class: Callable[..., Objective], tokenizer: Tokenizer, make_batch: Make) -> None:
    first, second = build(objective_class, tokenizer, 0), build(objective_class, tokenizer, 1)
    assert not torch.equal(outputs(first, make_batch), outputs(second, make_batch))
    second.load_state_dict(first.state_dict())
    assert torch.equal(outputs(first, make_batch), outputs(second, make_batch))


def test_is_built_once(objective_class: Callable[..., Objective], tokenizer: Tokenizer) -> None:
    objective = objective_class(width=16, encoder=ENCODER)
    assert not objective.is_built
    assert isinstance(objective.view, TextView | PairView)
    objective.build(tokenizer, 32)
    embedding = objective.embedding
    objective.build(tokenizer, 32)
    assert objective.embedding is embedding
    assert objective.vocabulary.size == embedding.num_rows == 65


def test_refuses_a_width_of_zero(objective_class: Callable[..., Objective]) -> None:
    with pytest.raises(ValueError, match="width must be at least 1, not 0"):
        objective_class(width=0)
