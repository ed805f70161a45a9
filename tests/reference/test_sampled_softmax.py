"""Sampled softmax from its definition, and against the full softmax on average, in float64."""

from __future__ import annotations

from typing import Literal, get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.contracts import OutputTable, Vocabulary
from zoo.heads import SampledSoftmaxHead
from zoo.layers.output_matrix import OutputMatrix
from zoo.layers.subspace_table import SubspaceTable

V, D, N = 128, 6, 20
SPECIAL = Vocabulary(V, 0, 1, 2, 3, 4)
Distribution = Literal["log_uniform", "unigram", "uniform"]

every_distribution = pytest.mark.parametrize("distribution", get_args(Distribution))


def make(samples: int, distribution: Distribution, std: float = 0.7) -> SampledSoftmaxHead:
    """Counts fall as 1/place over shuffled ids, and a bias follows them; products with vectors deviate by 2.4 std."""
    torch.manual_seed(0)
    head = SampledSoftmaxHead(OutputMatrix(V, D, std), samples, True, True, distribution).double()
    counts = (5000 / torch.randperm(V).add(1)).long() - 38
    head.use_vocabulary(SPECIAL, counts)
    head.start_bias(counts)
    return head


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(N, D, dtype=torch.float64, generator=generator)
    return hidden, torch.randint(V, (N,), generator=generator)


def exact_gradients(head: SampledSoftmaxHead, hidden: Tensor, targets: Tensor) -> list[Tensor]:
    """Of the full softmax, to the vectors, the table and the bias."""
    leaf = hidden.clone().requires_grad_()
    loss = F.cross_entropy(leaf @ head.table.weight().T + bias_of(head), targets)
    return list(torch.autograd.grad(loss, [leaf, *head.parameters()]))


def sampled_gradients(head: SampledSoftmaxHead, hidden: Tensor, targets: Tensor) -> list[Tensor]:
    leaf = hidden.clone().requires_grad_()
    return list(torch.autograd.grad(head.loss(leaf, targets).loss, [leaf, *head.parameters()]))


def bias_of(head: SampledSoftmaxHead) -> Tensor:
    return torch.zeros(V, dtype=torch.float64) if head.bias is None else head.bias


@every_distribution
@pytest.mark.parametrize("biased", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("table", ["full", "short"])
def test_equals_the_definition(
    distribution: Distribution, biased: bool, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    own: OutputTable = OutputMatrix(V, D, 1.0) if table == "full" else SubspaceTable(V, D, 1.0, own_rows=10)
    head = SampledSoftmaxHead(own, 24, biased, distribution=distribution).double()
    head.use_vocabulary(SPECIAL, torch.arange(V).flip(0) ** 2)
    if head.bias is not None:
        torch.nn.init.normal_(head.bias)
    drawn, expected = head.draw(torch.Generator().manual_seed(7))
    hidden, targets = inputs()
    targets[:3] = drawn[:3]
    monkeypatch.setattr(head, "draw", lambda: (drawn, expected))
    hidden.requires_grad_()
    weight, losses = own.weight(), []
    for h, target in zip(hidden, targets.tolist(), strict=True):
        scores = [w @ h + b for w, b in zip(weight, bias_of(head), strict=True)]
        total = scores[target].exp()
        for token, draws in zip(drawn.tolist(), expected.tolist(), strict=True):
            if token != target:
                total = total + scores[token].exp() / draws
        losses.append(total.log() - scores[target])
    direct, found = torch.stack(losses).mean(), head.loss(hidden, targets).loss
    torch.testing.assert_close(found, direct, rtol=0, atol=1e-12)
    leaves = [hidden, *head.parameters()]
    for ours, theirs in zip(torch.autograd.grad(found, leaves), torch.autograd.grad(direct, leaves), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@every_distribution
@pytest.mark.parametrize("samples", [V, 10 * V])
def test_all_tokens_are_the_full_softmax(distribution: Distribution, samples: int) -> None:
    head, (hidden, targets) = make(samples, distribution), inputs()
    with torch.no_grad():
        exact = head.loss(hidden, targets).loss
    assert float(head.loss(hidden, targets).loss.detach()) == pytest.approx(float(exact), rel=1e-13)
    pairs = zip(sampled_gradients(head, hidden, targets), exact_gradients(head, hidden, targets), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


@every_distribution
def test_the_sum_over_tokens_is_right_on_average(distribution: Distribution) -> None:
    """2,000 draws of 16 tokens: within 4.5 standard errors for each of 20 rows."""
    head, (hidden, targets) = make(16, distribution), inputs()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        powers = (hidden @ head.table.weight().T + bias_of(head)).exp()
        totals = torch.zeros(2000, N, dtype=torch.float64)
        for draw in totals:
            drawn, expected = head.draw(generator)
            draw.copy_((powers[:, drawn] / expected * (drawn != targets[:, None])).sum(1))
        others = powers.sum(1) - powers.gather(1, targets[:, None]).squeeze(1)
    errors = (totals.mean(0) - others) / (totals.std(0) / len(totals) ** 0.5)
    assert float(errors.abs().max()) < 4.5


def mean_error(head: SampledSoftmaxHead) -> float:
    """Largest relative error of the mean over 200 draws of the gradients to the vectors, the table and the bias."""
    hidden, targets = inputs()
    torch.manual_seed(3)
    sums = [torch.zeros_like(gradient) for gradient in exact_gradients(head, hidden, targets)]
    for _ in range(200):
        for total, gradient in zip(sums, sampled_gradients(head, hidden, targets), strict=True):
            total += gradient / 200
    pairs = zip(sums, exact_gradients(head, hidden, targets), strict=True)
    return max(float((mean - exact).norm() / exact.norm()) for mean, exact in pairs)


@every_distribution
def test_the_mean_gradient_tends_to_that_of_the_full_softmax(distribution: Distribution) -> None:
    """The logarithm of a sum that is right on average is off by a multiple of 1 / samples: small for good chances."""
    bound = 8.0 if distribution == "uniform" else 0.6
    for samples in (6, 24, 96):
        assert mean_error(make(samples, distribution, 0.2)) < bound / samples, samples


def test_without_the_correction_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above must be able to see: at 48 of 128 tokens the error is an eighth, in place of a hundredth."""
    head = make(48, "log_uniform", 0.2)
    assert mean_error(head) < 0.0125
    draw = head.draw
    monkeypatch.setattr(head, "draw", lambda: (draw()[0], torch.ones(48, dtype=torch.float64)))
    assert mean_error(head) > 0.1
