"""Embedding in chunks changes no gradient: float64, against one pass over the whole batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.contracts import Encoder, EncoderOutput, Layout, PackedBatch, PairBatch
from zoo.embeddings import TiedEmbedding
from zoo.objectives import Contrastive, InfoNCE, Matryoshka
from zoo.objectives.grad_cache import Embedded, embed_in_chunks

Make = Callable[..., PackedBatch]
Build = Callable[..., Any]
LOSS = partial(InfoNCE, 0.02, learn_temperature=True, bidirectional=True, false_negative_margin=0.1)


class Noisy(Encoder):
    """Mixes each token with the mean of its text; has dropout and losses of its own."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.linear = nn.Linear(width, width)
        self.unused = nn.Linear(2, 2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, layout: Layout) -> EncoderOutput:
        means = [part.mean(0).expand_as(part) for part in x.split(layout.lengths.tolist())]
        hidden = self.dropout(self.linear(x + torch.cat(means)).tanh())
        aux = {"size": hidden.square().mean().to(x.dtype), "fixed": hidden.new_ones(())}
        return EncoderOutput(hidden, aux, {"mean": hidden.detach().mean()})


def pairs(make_batch: Make, negatives: int = 2) -> PairBatch:
    documents = make_batch([4, 4, 1, 7, 3, *[2, 5, 3, 6, 9] * negatives], seed=1)
    return PairBatch(make_batch([3, 2, 5, 1, 4]), documents)


def step(
    objective: Contrastive, batch: PairBatch, monkeypatch: pytest.MonkeyPatch, autocast: bool = False
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Loss, gradients and what was logged."""
    logged: dict[str, Tensor] = {}

    def report(stage: str, values: dict[str, Tensor], batch_size: int) -> None:
        logged.update({f"{stage}/{name}": value for name, value in values.items()})

    monkeypatch.setattr(objective, "report", report)
    monkeypatch.setattr(objective, "count_tokens", lambda *batches: None)
    objective.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = objective.training_step(batch, 0)
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in objective.named_parameters() if p.grad is not None}, logged


@pytest.mark.parametrize("chunk_texts", [1, 2, 3])
@pytest.mark.parametrize("negatives", [0, 2])
@pytest.mark.parametrize("sizes", [None, [16, 6]])
def test_equals_one_pass(
    chunk_texts: int,
    negatives: int,
    sizes: list[int] | None,
    built: Build,
    make_batch: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def loss(chunk_texts: int | None) -> Any:
        inner = partial(LOSS, chunk_texts=chunk_texts)
        return inner if sizes is None else partial(Matryoshka, sizes, [1.0, 0.5], inner)

    whole = built(Contrastive, encoder=Noisy, embedding=TiedEmbedding, loss=loss(None)).double()
    cached = built(Contrastive, encoder=Noisy, embedding=TiedEmbedding, loss=loss(chunk_texts)).double()
    batch = pairs(make_batch, negatives)
    expected_loss, expected, expected_log = step(whole, batch, monkeypatch)
    found_loss, found, log = step(cached, batch, monkeypatch)
    assert found_loss.item() == pytest.approx(expected_loss.item(), rel=1e-12)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max() <= 1e-12 * gradient.abs().max(), name
    assert log.keys() == expected_log.keys()
    for name, value in expected_log.items():
        assert log[name].item() == pytest.approx(value.item(), rel=1e-10), name
    assert log["train_aux/fixed"] == 2, "once a side, whatever the chunks"
    task = log["train/loss"] + log["train_aux/size"] + log["train_aux/fixed"]
    assert found_loss.item() == pytest.approx(task.item())


def test_gradients_add_up_over_steps(built: Build, make_batch: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = built(Contrastive, encoder=Noisy, loss=partial(LOSS, chunk_texts=2)).double()
    _, once, _ = step(objective, pairs(make_batch), monkeypatch)
    once = {name: gradient.clone() for name, gradient in once.items()}
    monkeypatch.setattr(objective, "zero_grad", lambda: None)
    _, twice, _ = step(objective, pairs(make_batch), monkeypatch)
    assert all(torch.allclose(twice[name], 2 * gradient, rtol=1e-12) for name, gradient in once.items())


def test_frozen_parameters_stay_without_gradient(
    built: Build, make_batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = built(Contrastive, encoder=Noisy, loss=partial(LOSS, chunk_texts=2))
    objective.embedding.requires_grad_(False)
    _, gradients, _ = step(objective, pairs(make_batch), monkeypatch)
    assert set(gradients) == {"encoder.linear.weight", "encoder.linear.bias", "loss.log_scale"}


@pytest.mark.parametrize("autocast", [False, True])
def test_dropout_is_the_same_in_both_passes(
    autocast: bool, built: Build, make_batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = built(Contrastive, encoder=partial(Noisy, dropout=0.5), loss=partial(LOSS, chunk_texts=2)).double()
    objective = objective.float() if autocast else objective
    batch = pairs(make_batch, 0)
    passes: list[tuple[bool, bool, Embedded]] = []
    embed = objective._embedded_at_once

    def spy(part: PackedBatch) -> Embedded:
        made: Embedded = embed(part)
        passes.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), made))
        return made

    monkeypatch.setattr(objective, "_embedded_at_once", spy)
    torch.manual_seed(7)
    _, found, _ = step(objective, batch, monkeypatch, autocast)
    assert [enabled for enabled, *_ in passes] == [False] * 6 + [True] * 6
    assert all(mixed == autocast for _, mixed, _ in passes)
    # the backward pass takes the documents first
    for (*_, before), (*_, again) in zip(passes[:6], passes[9:] + passes[6:9], strict=True):
        assert torch.equal(before.vectors, again.vectors)
    assert not torch.equal(passes[0][2].vectors, embed(batch.queries.split(3)[0]).vectors), "there is dropout"
    # the same masks in one graph
    torch.manual_seed(7)
    vectors, aux = [], []
    for side in (batch.queries, batch.documents):
        seeds = torch.randint(2**62, (3,)).tolist()
        with torch.random.fork_rng():
            for seed, part in zip(seeds, side.split(3), strict=True):
                torch.manual_seed(seed)
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                    made = embed(part)
                vectors.append(made.vectors)
                aux.append(len(part.tokens) / len(side.tokens) * made.aux_losses["size"])
    objective.zero_grad()
    loss = objective.loss(torch.cat(vectors[:3]), torch.cat(vectors[3:]), batch)[0]
    (loss + torch.stack(aux).sum()).backward()
    for name, parameter in objective.named_parameters():
        if name in found and parameter.grad is not None:
            assert torch.allclose(found[name], parameter.grad, rtol=2e-2 if autocast else 1e-10, atol=1e-12), name
    assert len(found) == 4


def test_mixed_precision_equals_one_pass(
    built: Build, make_batch: Make, monkeypatch: pytest.MonkeyPatch, tolerance: Callable[[torch.dtype], float]
) -> None:
    batch = pairs(make_batch)
    whole, cached = (built(Contrastive, loss=partial(InfoNCE, chunk_texts=n)) for n in (None, 2))
    _, expected, _ = step(whole, batch, monkeypatch, autocast=True)
    _, found, _ = step(cached, batch, monkeypatch, autocast=True)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= tolerance(torch.bfloat16) * gradient.norm(), name


def test_evaluation_keeps_no_graph_and_draws_nothing_new(built: Build, make_batch: Make) -> None:
    batch = pairs(make_batch)
    whole, cached = (built(Contrastive, loss=partial(InfoNCE, chunk_texts=n)).eval() for n in (None, 2))
    with torch.no_grad():
        expected, found = whole.predict_step(batch, 0), cached.predict_step(batch, 0)
    for one, other in zip(expected, found, strict=True):
        assert not other.requires_grad
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_one_operation_for_autograd(make_batch: Make) -> None:
    """Each parameter's gradient arrives once a step, so that processes exchange it once."""
    table = nn.Parameter(torch.randn(65, 4))
    arrivals: list[Tensor] = []
    table.register_post_accumulate_grad_hook(arrivals.append)

    def embed(part: PackedBatch) -> Embedded:
        rows = table[part.tokens].split(part.cu_seqlens.diff().tolist())
        return Embedded(torch.stack([row.mean(0) for row in rows]), {}, {})

    embedded = embed_in_chunks(embed, make_batch([3, 2, 5, 1, 4]), 3, [table])
    (embedded.vectors * torch.randn(5, 4)).sum().backward()
    assert len(arrivals) == 1


def test_refuses_strategies_that_shard(built: Build) -> None:
    objective = built(Contrastive, loss=partial(InfoNCE, chunk_texts=2))
    objective._trainer = SimpleNamespace(strategy=object(), ckpt_path="last.ckpt")
    with pytest.raises(ValueError, match=r"not known of object: set trainer\.strategy to auto or ddp"):
        objective.on_fit_start()


def test_refuses_chunks_of_nothing() -> None:
    with pytest.raises(ValueError, match="chunk_texts must be at least 1, not 0"):
        InfoNCE(chunk_texts=0)


def test_scale_of_the_loss_does_not_matter(built: Build, make_batch: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a gradient scaler, or accumulation over batches, multiplies it."""
    objective = built(Contrastive, encoder=Noisy, loss=partial(LOSS, chunk_texts=2)).double()
    batch = pairs(make_batch)
    _, expected, _ = step(objective, batch, monkeypatch)
    expected = {name: gradient.clone() for name, gradient in expected.items()}
    objective.zero_grad()
    (objective.training_step(batch, 0) * math.pi).backward()
    for name, parameter in objective.named_parameters():
        if name in expected:
            assert torch.allclose(parameter.grad, math.pi * expected[name], rtol=1e-12), name


def test_casts_without_graph_are_not_kept(make_batch: Make) -> None:
    """Autocast keeps casts of weights: one that was made without a graph would lead to no gradient."""
    linear = nn.Linear(1, 4)

    def embed(part: PackedBatch) -> Embedded:
        return Embedded(linear(part.tokens[:, None].float())[: part.num_sequences], {}, {})

    with torch.autocast("cpu", dtype=torch.bfloat16):
        embed_in_chunks(embed, make_batch([3, 2, 5]), 2, list(linear.parameters()))
        linear(torch.ones(2, 1)).sum().backward()
    assert linear.weight.grad is not None
