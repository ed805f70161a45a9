from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from zoo.contracts import PackedBatch
from zoo.objectives import MaskedLM

Make = Callable[..., PackedBatch]
Build = Callable[..., MaskedLM]


def with_special(batch: PackedBatch) -> torch.Tensor:
    """The batch's tokens, every tenth one special."""
    tokens = batch.tokens.clone()
    tokens[::10] = torch.arange(len(tokens[::10])) % 5
    return tokens


@pytest.mark.parametrize("fraction", [0.15, 0.3, 1.0])
def test_share_of_the_text(fraction: float, built: Build, make_batch: Make) -> None:
    objective = built(MaskedLM, mask_fraction=fraction)
    tokens = with_special(make_batch([1000]))
    chosen, hidden = objective.mask(tokens)
    assert len(chosen) == round(fraction * 900)
    assert len(set(chosen.tolist())) == len(chosen)
    assert (tokens[chosen] >= 5).all(), "a special token was chosen"
    untouched = torch.ones(1000, dtype=torch.bool)
    untouched[chosen] = False
    assert torch.equal(hidden[untouched], tokens[untouched])


def test_default_share_is_30_percent(built: Build, make_batch: Make) -> None:
    assert len(built(MaskedLM).mask(make_batch([1000]).tokens)[0]) == 300


def test_80_10_10(built: Build, make_batch: Make) -> None:
    objective = built(MaskedLM, mask_fraction=1.0)
    tokens = make_batch([50_000]).tokens
    chosen, hidden = objective.mask(tokens, torch.Generator().manual_seed(0))
    masked = hidden[chosen] == objective.vocabulary.mask_id
    same = hidden[chosen] == tokens[chosen]
    vocab = objective.vocabulary.size
    # a random token is now and then the mask, or the one that stood there
    assert float(masked.float().mean()) == pytest.approx(0.8 + 0.1 / vocab, abs=0.006)
    assert float(same.float().mean()) == pytest.approx(0.1 + 0.1 / vocab, abs=0.005)
    other = hidden[chosen][~masked & ~same]
    assert len(other.unique()) == vocab - 1, "random tokens are drawn from the whole vocabulary"


def test_a_seed_fixes_what_is_hidden(built: Build, make_batch: Make) -> None:
    objective, tokens = built(MaskedLM), make_batch([200]).tokens
    first, second, third = (objective.mask(tokens, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], third[0])


def test_the_tokens_of_the_batch_are_not_changed(built: Build, make_batch: Make) -> None:
    tokens = make_batch([50]).tokens
    before = tokens.clone()
    built(MaskedLM).mask(tokens)
    assert torch.equal(tokens, before)


@pytest.mark.parametrize("length", [1, 2])
def test_one_token_is_always_hidden(length: int, built: Build, make_batch: Make) -> None:
    assert len(built(MaskedLM, mask_fraction=0.15).mask(make_batch([length]).tokens)[0]) == 1


def test_nothing_to_hide(built: Build) -> None:
    objective = built(MaskedLM)
    batch = PackedBatch.from_sequences([[objective.vocabulary.cls_id, objective.vocabulary.sep_id]])
    assert len(objective.mask(batch.tokens)[0]) == 0
    assert len(objective.token_losses(batch, seed=0).nll) == 0


def test_losses_are_those_of_the_hidden_tokens(
    built: Build, make_batch: Make, assert_close: Callable[..., None]
) -> None:
    objective = built(MaskedLM).eval()
    batch = make_batch([20, 30])
    found = objective.token_losses(batch, seed=3)
    again = objective.token_losses(batch, seed=3)
    assert torch.equal(found.nll, again.nll)
    assert not torch.equal(found.targets, objective.token_losses(batch, seed=4).targets)
    chosen, hidden = objective.mask(batch.tokens, torch.Generator().manual_seed(3))
    assert torch.equal(found.targets, batch.tokens[chosen])
    corrupted = PackedBatch(hidden, batch.cu_seqlens, batch.max_seqlen)
    vectors = objective.encode(corrupted, causal=False).hidden[chosen]
    assert_close(found.nll, -objective.head.log_probs(vectors, batch.tokens[chosen]))


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1])
def test_refuses_a_share_out_of_range(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"mask_fraction must lie in \(0, 1\]"):
        MaskedLM(mask_fraction=fraction)
