from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch

from zoo.contracts import PackedBatch
from zoo.encoders import LSTMEncoder
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


def test_the_encoder_never_sees_a_last_token(built: Build, make_batch: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = built(CausalLM)
    seen: list[PackedBatch] = []
    encode = objective.encode

    def record(batch: PackedBatch, *, causal: bool) -> object:
        seen.append(batch)
        return encode(batch, causal=causal)

    monkeypatch.setattr(objective, "encode", record)
    batch = replace(PackedBatch.from_sequences([[2, 7, 8, 3], [2], [2, 9]]), continues=True)
    output, positions, _ = objective.predict_tokens(batch, None)
    assert seen[0].tokens.tolist() == [2, 7, 8, 2]
    assert (seen[0].cu_seqlens.tolist(), seen[0].max_seqlen, seen[0].continues) == ([0, 3, 4], 3, True)
    assert seen[0].cu_seqlens.dtype == torch.int32
    assert positions.tolist() == [0, 1, 2, 5]
    assert output.hidden.shape == (7, 16)
    assert not output.hidden[[3, 4, 6]].any()


def test_losses_know_their_sequence(built: Build) -> None:
    batch = PackedBatch.from_sequences([[2, 7, 8, 3], [2], [2, 9]])
    assert built(CausalLM).token_losses(batch, seed=0).sequences.tolist() == [0, 0, 0, 2]


@pytest.mark.parametrize("max_length", [8, 11, 33, 100])
def test_with_a_state_losses_do_not_depend_on_the_windows(
    max_length: int, built: Build, make_batch: Make, assert_close: Callable[..., None]
) -> None:
    objective = built(CausalLM, encoder=partial(LSTMEncoder, init_range=0.5)).eval()
    tokens = make_batch([100]).tokens
    whole = objective.token_losses(PackedBatch.from_sequences([tokens]), seed=0)
    found = []
    for start in range(0, 99, max_length):
        window = PackedBatch.from_sequences([tokens[start : start + max_length + 1]])
        found.append(objective.token_losses(replace(window, continues=start > 0), seed=0))
    assert_close(torch.cat([losses.nll for losses in found]), whole.nll)
    assert torch.equal(torch.cat([losses.targets for losses in found]), whole.targets)
