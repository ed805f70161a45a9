from __future__ import annotations

from collections.abc import Callable

import torch

from zoo.contracts import PackedBatch
from zoo.objectives import CausalLM

Make = Callable[..., PackedBatch]
Build = Callable[..., CausalLM]


def test_targets_are_the_next_tokens_of_the_same_sequence(built: Build) -> None:
    batch = PackedBatch.from_sequences([[2, 7, 8, 3], [2], [2, 9]])
    output, positions, targets = built(CausalLM).predict_tokens(batch, None)
    assert targets.tolist() == [7, 8, 3, 9]
    assert output.hidden[positions].shape == (4, 16)


def test_a_loss_depends_on_the_left_side_only(built: Build, make_batch: Make) -> None:
    objective = built(CausalLM).eval()
    batch = make_batch([10])
    changed = batch.tokens.clone()
    changed[6] = (changed[6] - 4) % 60 + 5
    first = objective.token_losses(batch, seed=0).nll
    second = objective.token_losses(PackedBatch(changed, batch.cu_seqlens, 10), seed=0).nll
    assert torch.equal(first[:5], second[:5])
    assert (first[5:] != second[5:]).all()


def test_losses_need_no_seed(built: Build, make_batch: Make) -> None:
    objective, batch = built(CausalLM).eval(), make_batch([5, 7])
    assert torch.equal(objective.token_losses(batch, seed=0).nll, objective.token_losses(batch, seed=1).nll)
    assert not objective.token_losses(batch, seed=0).nll.requires_grad
