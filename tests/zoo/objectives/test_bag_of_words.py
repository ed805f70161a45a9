from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from zoo.contracts import OutputHead, OutputTable, PackedBatch, TokenEmbedding
from zoo.embeddings import ChainedSubspaceEmbedding, FullEmbedding, SubspaceEmbedding, TiedEmbedding
from zoo.heads import (
    AdaptiveSoftmaxHead,
    AugmentedSoftmaxHead,
    MixtureSoftmaxHead,
    SampledSoftmaxHead,
    SoftmaxHead,
    SparseTargetHead,
)
from zoo.heads.sparse_target import SphericalLoss, SphericalZLoss, SquaredError, TaylorSoftmax
from zoo.objectives import BagOfWords
from zoo.objectives.bag_of_words import Bag

Make = Callable[..., PackedBatch]
Build = Callable[..., BagOfWords]
Zoo = Callable[..., int]
Arguments = Callable[[str], list[str]]

COUNTS = torch.arange(65) ** 2 + 1


def head(loss: Callable[[], SphericalLoss]) -> Callable[[OutputTable], OutputHead]:
    return partial(SparseTargetHead, loss=loss)


@pytest.mark.parametrize("make_head", [SoftmaxHead, head(TaylorSoftmax), head(SquaredError)])
def test_targets_are_weighed_by_rarity(
    make_head: Callable[[OutputTable], OutputHead], built: Build, make_batch: Make
) -> None:
    objective = built(BagOfWords, head=make_head, bag=Bag(num_targets=6))
    objective.use_counts(COUNTS)
    batch = make_batch([3, 20, 9])
    ids, values = objective.targets(batch)
    total = float(COUNTS[5:].sum())
    for row, (start, end) in enumerate(zip(batch.cu_seqlens[:-1].tolist(), batch.cu_seqlens[1:].tolist(), strict=True)):
        tokens, numbers = batch.tokens[start:end].unique(return_counts=True)
        tokens, numbers = tokens[tokens >= 5], numbers[tokens >= 5]
        weights = (1 + numbers.log()) * (total / COUNTS[tokens]).log()
        heaviest = weights.sort(descending=True).values[:6]
        size = heaviest.norm() if objective.head.target_values == "outputs" else heaviest.sum()
        torch.testing.assert_close(values[row][: len(heaviest)], heaviest / size)
        assert set(ids[row][: len(heaviest)].tolist()) <= set(tokens.tolist())


@pytest.mark.parametrize("embedding", [FullEmbedding, TiedEmbedding, SubspaceEmbedding])
def test_the_softmax_over_a_bag_is_the_weighted_cross_entropy(
    embedding: Callable[[int, int], TokenEmbedding], built: Build, make_batch: Make
) -> None:
    objective = built(BagOfWords, embedding=embedding).double()
    assert isinstance(objective.head, SoftmaxHead)
    assert objective.head.bias is not None
    objective.use_counts(COUNTS)
    torch.nn.init.normal_(objective.head.bias)
    batch = make_batch([3, 20, 9])
    ids, values = objective.targets(batch)
    pooled = objective.embed(batch).detach().requires_grad_()
    soft = torch.zeros(3, 65, dtype=torch.float64).scatter_add(1, ids, values)
    direct = F.cross_entropy(pooled @ objective.head.table.weight().T + objective.head.bias, soft)
    found = objective.head.sparse_loss(pooled, ids, values).loss
    torch.testing.assert_close(found, direct, rtol=0, atol=1e-12)
    leaves = [pooled, *objective.head.parameters()]
    for ours, theirs in zip(torch.autograd.grad(found, leaves), torch.autograd.grad(direct, leaves), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_words_are_hidden_from_the_encoder_in_training_alone(built: Build, make_batch: Make) -> None:
    objective, batch = built(BagOfWords, bag=Bag(mask_fraction=0.5)), make_batch([4000])
    seen = objective.mask(batch).tokens
    changed = seen != batch.tokens
    assert 0.45 < float(changed.float().mean()) < 0.55
    assert (seen[changed] == objective.vocabulary.mask_id).all()
    assert (batch.tokens[changed] >= 5).all(), "a special token was hidden"
    assert torch.equal(built(BagOfWords, bag=Bag(mask_fraction=0.0)).mask(batch).tokens, batch.tokens)


def test_a_text_without_words_is_left_out(built: Build) -> None:
    objective = built(BagOfWords).eval()
    objective.use_counts(COUNTS)
    batch = PackedBatch.from_sequences([[2, 3], [2, 20, 30, 3]])
    alone = PackedBatch.from_sequences([[2, 20, 30, 3]])
    both, one = (objective.bag_loss(b, objective.encode(b, causal=False)).loss for b in (batch, alone))
    torch.testing.assert_close(both, one)


@pytest.mark.parametrize("head_class", [AugmentedSoftmaxHead, SampledSoftmaxHead, AdaptiveSoftmaxHead])
def test_heads_of_one_target_are_refused(head_class: Callable[[OutputTable], OutputHead], built: Build) -> None:
    with pytest.raises(ValueError, match=r"has one target a row, .*: use SoftmaxHead or SparseTargetHead"):
        built(BagOfWords, head=head_class)


def test_tables_that_score_no_products_are_refused(built: Build) -> None:
    with pytest.raises(ValueError, match="over FullEmbedding, TiedEmbedding or SubspaceEmbedding"):
        built(BagOfWords, embedding=ChainedSubspaceEmbedding)
    with pytest.raises(ValueError, match="has one target a row: use SoftmaxHead"):
        MixtureSoftmaxHead(built(BagOfWords).head.table).sparse_loss(
            torch.zeros(1, 16), torch.zeros(1, 2, dtype=torch.int64), torch.ones(1, 2)
        )


def test_numbers_out_of_range() -> None:
    with pytest.raises(ValueError, match="num_targets must be at least 1, not 0"):
        Bag(num_targets=0)
    with pytest.raises(ValueError, match=r"mask_fraction must lie in \[0, 1\), not 1"):
        Bag(mask_fraction=1.0)


@pytest.mark.parametrize("embedding", [FullEmbedding, TiedEmbedding])
def test_a_regression_starts_at_outputs_of_0(
    embedding: Callable[[int, int], TokenEmbedding], built: Build, make_batch: Make
) -> None:
    """Unless its table is the one that the encoder reads, which cannot be 0."""
    objective, batch = built(BagOfWords, embedding=embedding, head=head(SquaredError)), make_batch([3, 20, 9])
    objective.use_counts(COUNTS)
    loss = float(objective.bag_loss(batch, objective.encode(batch, causal=False)).loss.detach())
    if embedding is FullEmbedding:
        assert loss == pytest.approx(1.0, abs=1e-6)
    else:
        table = objective.embedding.output_table()
        assert table is not None
        assert float(table.weight().norm()) > 0.1
        assert loss != pytest.approx(1.0, abs=1e-3)
        objective.head.use_embedding(objective.embedding)  # a head that is told twice keeps the table it shares
        assert float(table.weight().norm()) > 0.1


@pytest.mark.parametrize(("loss", "rate"), [(SquaredError, 0.03), (SphericalZLoss, 20.0), (None, 0.0)])
def test_learns_which_words_a_text_has(
    loss: Callable[[], SphericalLoss] | None, rate: float, built: Build, make_batch: Make
) -> None:
    """After 60 steps on one batch most of the best outputs of a text are words of it; at first few are."""
    make_head = SoftmaxHead if loss is None else partial(SparseTargetHead, loss=loss, lr=rate)
    objective, batch = built(BagOfWords, head=make_head, bag=Bag(mask_fraction=0.0)), make_batch([8] * 12)
    objective.use_counts(COUNTS)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=0.02)

    def precision() -> float:
        ids, values = objective.targets(batch)
        best = objective.head.topk(objective.embed(batch), 5)[1]
        return float(((best[:, :, None] == ids[:, None]) & (values[:, None] > 0)).any(-1).float().mean())

    before = precision()
    for _ in range(60):
        optimizer.zero_grad()
        objective.bag_loss(batch, objective.encode(batch, causal=False)).loss.backward()
        optimizer.step()
        for module in objective.self_updating:
            module.apply_gradient(rate)
    assert before < 0.4
    assert precision() > 0.8


def test_weights_of_tokens_are_in_the_checkpoint(zoo: Zoo, tiny_arguments: Arguments) -> None:
    assert zoo("fit", *tiny_arguments("BagOfWords"), "--trainer.max_steps", "3", "--run_dir", "run") == 0
    from zoo import checkpoint

    objective = checkpoint.load(Path("run"))
    assert isinstance(objective, BagOfWords)
    counts = torch.load("run/checkpoints/last.ckpt", weights_only=True)["zoo"]["token_counts"]
    most = int(counts[5:].argmax()) + 5
    assert objective.rarity[most] == objective.rarity[5:].min()
    assert not objective.rarity[:5].any()
