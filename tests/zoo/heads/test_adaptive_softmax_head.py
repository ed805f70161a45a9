from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from zoo.contracts import Vocabulary
from zoo.embeddings import FullEmbedding, SubspaceEmbedding, TiedEmbedding
from zoo.heads import AdaptiveSoftmaxHead
from zoo.layers import linear_cross_entropy
from zoo.layers.output_matrix import OutputMatrix
from zoo.objectives import CausalLM
from zoo.optim import CenteredAdamW, CoupledAdamW
from zoo.optim.groups import by_role

V, D = 64, 16
SPECIAL = Vocabulary(V, 0, 1, 2, 3, 4)
COUNTS = torch.arange(V) // 2


def make(**options: Any) -> AdaptiveSoftmaxHead:
    torch.manual_seed(0)
    head = AdaptiveSoftmaxHead(OutputMatrix(V, D), **options).double()
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    head.use_vocabulary(SPECIAL, COUNTS)
    return head


def chances_of(head: AdaptiveSoftmaxHead, hidden: Tensor) -> Tensor:
    """Of all tokens for one vector."""
    with torch.no_grad():
        return head.log_probs(hidden.expand(V, -1), torch.arange(V)).exp()


def test_cutoffs_follow_from_the_vocabulary() -> None:
    assert AdaptiveSoftmaxHead(OutputMatrix(33_000, D)).softmax.cutoffs == [2062, 8250, 33_000]
    assert AdaptiveSoftmaxHead(OutputMatrix(15, D)).softmax.cutoffs == [3, 15]
    assert AdaptiveSoftmaxHead(OutputMatrix(V, D), [7]).softmax.cutoffs == [7, V]


def test_the_most_frequent_tokens_have_rows_of_full_width() -> None:
    """Counts rise with the id, two ids at a time: ties go to the lower one."""
    head, hidden = make(), torch.randn(D, dtype=torch.float64)
    first = (head.softmax.head.weight @ hidden).softmax(0)
    frequent = [62, 63, 60, 61]
    torch.testing.assert_close(chances_of(head, hidden)[frequent], first[:4].detach())


def test_best_tokens_and_draws_follow_the_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_cross_entropy, "_CHUNK_ELEMENTS", 1)
    head, draws = make(), 4000
    hidden = 0.5 * torch.randn(300, D, dtype=torch.float64)
    with torch.no_grad():
        values, ids = head.topk(hidden, 5)
        torch.testing.assert_close(values[:, 0], head.log_probs(hidden, ids[:, 0]))
    chances = chances_of(head, hidden[-1])
    assert torch.equal(ids[-1], chances.topk(5).indices)
    for temperature in (1.0, 2.0):
        expected = chances ** (1 / temperature) / (chances ** (1 / temperature)).sum()
        with torch.no_grad():
            drawn = head.sample(hidden[-1:].expand(draws, -1), temperature, torch.Generator().manual_seed(0))
        found = drawn.bincount(minlength=V) / draws
        assert float(((found - expected) / (expected * (1 - expected) / draws).sqrt()).abs().max()) < 4.5


def test_roles() -> None:
    groups = {group["role"]: group for group in by_role(make(bias=True))}
    rows = groups["vocabulary"]
    assert [tuple(p.shape) for p in rows["params"]] == [(4 + 2, D), (12, 4), (48, 1)]
    assert (rows["side"], rows["zero_sum"], rows["weight_decay"]) == ("output", True, 0.0)
    assert [tuple(p.shape) for p in groups["matrix"]["params"]] == [(4, D), (1, D)]
    assert [tuple(p.shape) for p in groups["vector"]["params"]] == [(6,)]


def test_a_shift_of_the_rows_of_each_table_changes_nothing() -> None:
    head, hidden = make(), torch.randn(D, dtype=torch.float64)
    before = chances_of(head, hidden)
    CenteredAdamW(by_role(head), lr=0.0).step()
    rows = next(group for group in by_role(head) if group["role"] == "vocabulary")["params"]
    assert max(float(p.detach().mean(0).abs().max()) for p in rows) < 1e-14
    torch.testing.assert_close(chances_of(head, hidden), before)


@pytest.mark.parametrize("optimizer", [CoupledAdamW, CenteredAdamW])
def test_trains_with_optimizers_that_know_tables(optimizer: Any) -> None:
    head = make()
    hidden, targets = torch.randn(V, D, dtype=torch.float64), torch.arange(V)
    steps, losses = optimizer(by_role(head), lr=0.05), []
    for _ in range(20):
        steps.zero_grad()
        loss = head.loss(hidden, targets).loss
        loss.backward()
        steps.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 1


def test_clusters_without_a_target_have_a_gradient_of_zero() -> None:
    """Or processes that train together would wait for each other."""
    head = make()
    head.loss(torch.randn(3, D, dtype=torch.float64), torch.tensor([63, 62, 63])).loss.backward()
    gradients = {name: p.grad for name, p in head.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    assert [name for name, g in gradients.items() if g is not None and g.any()] == ["softmax.head.weight"]


def test_keeps_nothing_of_the_table(tokenizer: Tokenizer) -> None:
    table = OutputMatrix(V, D)
    seen = weakref.ref(table.matrix)
    head = AdaptiveSoftmaxHead(table)
    del table
    gc.collect()
    assert seen() is None
    assert sum(p.numel() for p in head.parameters()) == 6 * D + (4 * D + 12 * 4) + (D + 48)
    model = CausalLM(D, FullEmbedding, head=AdaptiveSoftmaxHead)
    model.build(tokenizer, 32)
    full = [name for name, p in model.named_parameters() if tuple(p.shape) == (model.vocabulary.size, D)]
    assert full == ["embedding.weight"]


@pytest.mark.parametrize("embedding", [TiedEmbedding, lambda v, d: SubspaceEmbedding(v, d, tied=True)])
def test_a_tied_embedding_is_refused(embedding: Any, tokenizer: Tokenizer) -> None:
    with pytest.raises(
        ValueError, match=r"cannot score with those of .*: use FullEmbedding, or SubspaceEmbedding with"
    ):
        CausalLM(D, embedding, head=AdaptiveSoftmaxHead).build(tokenizer, 32)
    CausalLM(D, SubspaceEmbedding, head=AdaptiveSoftmaxHead).build(tokenizer, 32)


def test_trained_rows_keep_the_order_that_they_were_trained_in() -> None:
    trained, hidden = make(), torch.randn(D, dtype=torch.float64)
    fresh = AdaptiveSoftmaxHead(OutputMatrix(V, D)).double()
    fresh.load_state_dict(trained.state_dict())
    before = chances_of(trained, hidden)
    assert torch.equal(chances_of(fresh, hidden), before)
    fresh.use_vocabulary(SPECIAL, COUNTS.flip(0))
    assert torch.equal(chances_of(fresh, hidden), before)


def test_half_precision_is_normalised_in_single() -> None:
    head, hidden, targets = make(), torch.randn(V, D, dtype=torch.float64) / 4, torch.arange(V)
    with torch.no_grad():
        exact = head.log_probs(hidden, targets)
    single = head.float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = single.loss(hidden.bfloat16().requires_grad_(), targets).loss
    half = copy.deepcopy(single).bfloat16().loss(hidden.bfloat16(), targets).loss
    for found in (mixed, half):
        assert found.dtype == torch.float32
        assert float(found.detach()) == pytest.approx(-float(exact.mean()), rel=2e-2)


@pytest.mark.parametrize("cutoffs", [[], [0, 4], [4, 4], [5, 4], [4, V]], ids=str)
def test_refuses_cutoffs_that_do_not_rise_inside_the_vocabulary(cutoffs: list[int]) -> None:
    with pytest.raises(
        ValueError, match=r"cutoffs must rise from at least 1 to at most 63, .* null takes V / 16 and V"
    ):
        AdaptiveSoftmaxHead(OutputMatrix(V, D), cutoffs)


def test_refuses_clusters_without_a_column() -> None:
    with pytest.raises(ValueError, match=r"last of 3 clusters no column of width 16: set it between 1 and 2\.51, or"):
        AdaptiveSoftmaxHead(OutputMatrix(V, D), [4, 8, 16])
    assert AdaptiveSoftmaxHead(OutputMatrix(V, D), [4, 8, 16], 2.51).softmax.n_clusters == 3
    with pytest.raises(ValueError, match=r"div_value=0\.5"):
        AdaptiveSoftmaxHead(OutputMatrix(V, D), [4], 0.5)
    with pytest.raises(ValueError, match="at least one target"):
        make().loss(torch.zeros(0, D, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))
