from __future__ import annotations

from typing import Literal

import pytest
import torch
from tokenizers import Tokenizer

from zoo.embeddings import FullEmbedding, TiedEmbedding
from zoo.heads import AugmentedSoftmaxHead, SoftmaxHead
from zoo.layers.augmented_cross_entropy import augmented_cross_entropy
from zoo.layers.output_matrix import OutputMatrix
from zoo.objectives import CausalLM


def test_strength_zero_is_the_plain_softmax() -> None:
    torch.manual_seed(0)
    table, hidden, targets = OutputMatrix(20, 4, 1.0), torch.randn(6, 4), torch.arange(6)
    found = AugmentedSoftmaxHead(table, strength=0.0).loss(hidden, targets)
    assert torch.equal(found.loss, SoftmaxHead(table, bias=False).loss(hidden, targets).loss)
    assert not found.diagnostics


def test_the_reported_likelihood_is_that_of_the_plain_softmax() -> None:
    torch.manual_seed(0)
    table, hidden, targets = OutputMatrix(20, 4, 1.0), torch.randn(6, 4), torch.arange(6)
    plain = SoftmaxHead(table, bias=False).loss(hidden, targets).nll
    for form in ("exact", "quadratic"):
        result = AugmentedSoftmaxHead(table, strength=0.5, temperature=3.0, form=form).loss(hidden, targets)
        torch.testing.assert_close(result.nll, plain)
        torch.testing.assert_close(result.loss.detach(), plain + 0.5 * 3.0 * result.diagnostics["divergence"])
        with torch.no_grad():
            evaluated = AugmentedSoftmaxHead(table, strength=0.5, form=form).loss(hidden, targets)
        torch.testing.assert_close(evaluated.loss, plain)


@pytest.mark.parametrize("embedding", [FullEmbedding, TiedEmbedding])
def test_the_teacher_is_the_input_side(embedding: type[FullEmbedding | TiedEmbedding], tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    model = CausalLM(8, embedding, head=lambda table: AugmentedSoftmaxHead(table, strength=1.0))
    model.build(tokenizer, 16)
    rows = model.embedding(torch.arange(model.vocabulary.size))
    hidden, targets = torch.randn(9, 8), torch.arange(9)
    expected, _, _ = augmented_cross_entropy(hidden, model.head.table.weight(), rows, targets, strength=20.0)
    torch.testing.assert_close(model.head.loss(hidden, targets).loss, expected)
    assert not any("_teacher" in name for name in model.state_dict()), "it is no part of the head"


def test_only_an_attached_teacher_trains_the_input_side(tokenizer: Tokenizer) -> None:
    for attached in (False, True):
        torch.manual_seed(0)
        model = CausalLM(8, head=lambda table, a=attached: AugmentedSoftmaxHead(table, teacher_gradient=a))  # type: ignore[misc]
        model.build(tokenizer, 16)
        model.head.loss(torch.randn(9, 8), torch.arange(9)).loss.backward()
        assert isinstance(model.embedding, FullEmbedding)
        assert (model.embedding.weight.grad is not None) == attached
        assert model.head.zero_sum != attached


@pytest.mark.parametrize("form", ["exact", "quadratic"])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_balance_weighs_both_terms(beta: float, form: Literal["exact", "quadratic"]) -> None:
    torch.manual_seed(0)
    table, targets = OutputMatrix(20, 4, 1.0).double(), torch.arange(6)
    hidden = torch.randn(6, 4, dtype=torch.float64)
    tau, found = 5.0, []
    for balance in (beta, None):
        given = hidden.clone().requires_grad_()
        table.zero_grad()
        head = AugmentedSoftmaxHead(table, temperature=tau, form=form, balance=balance)
        result = head.loss(given, targets)
        loss = result.loss
        if balance is None:  # J + tau KL into (1 - beta) J + beta tau^2 V KL
            plain = table.cross_entropy(given, targets)
            loss = (1 - beta) * plain + beta * tau * 20 * (loss - plain)
        loss.backward()
        torch.testing.assert_close(result.nll, table.cross_entropy(hidden, targets).detach())
        found.append((loss.detach(), given.grad, table.matrix.grad.clone()))  # type: ignore[union-attr]
    torch.testing.assert_close(found[0], found[1])


def test_what_has_no_meaning_is_refused() -> None:
    table = OutputMatrix(5, 4)
    for temperature, strength in ((0.0, 1.0), (20.0, -1.0)):
        with pytest.raises(ValueError, match="set temperature above 0 and strength to at least 0"):
            AugmentedSoftmaxHead(table, strength=strength, temperature=temperature)
    for balance in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"balance must lie in \[0, 1\], not"):
            AugmentedSoftmaxHead(table, balance=balance)
    with pytest.raises(ValueError, match="quadratic form has no teacher gradient"):
        AugmentedSoftmaxHead(table, teacher_gradient=True, form="quadratic")
    with pytest.raises(ValueError, match="at least one target"):
        AugmentedSoftmaxHead(table).loss(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
