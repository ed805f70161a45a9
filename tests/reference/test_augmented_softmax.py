"""The augmented loss of arXiv 1611.01462 from its equations and autograd, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.embeddings import TiedEmbedding
from zoo.heads import AugmentedSoftmaxHead
from zoo.layers import augmented_cross_entropy as augmented_layer
from zoo.layers import linear_cross_entropy
from zoo.layers.augmented_cross_entropy import augmented_cross_entropy
from zoo.layers.quadratic_divergence import quadratic_divergence

V, D = 50, 8


def direct(
    h: Tensor,
    w: Tensor,
    vectors: Tensor,
    y: Tensor,
    b: Tensor | None,
    tau: float,
    alpha: float,
    attached: bool,
) -> tuple[Tensor, Tensor]:
    """J and KL(teacher || student), with the teacher distribution of every row built."""
    z = h @ w.T
    teacher = (vectors[y] @ vectors.T / tau).softmax(-1)
    if not attached:
        teacher = teacher.detach()
    student = (z / tau).softmax(-1)
    kl = (teacher * (teacher / student).log()).sum(-1).mean()
    return F.cross_entropy(z if b is None else z + b, y) + alpha * kl, kl


@pytest.fixture(params=[(1, 1), (7, 7), (10_000, 4), (10_000, 10_000)], ids=["one-row", "uneven", "blocks", "whole"])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, cached = request.param
    monkeypatch.setattr(linear_cross_entropy, "_MIN_ROWS", rows)
    monkeypatch.setattr(linear_cross_entropy, "_CHUNK_ELEMENTS", 1)
    monkeypatch.setattr(augmented_layer, "_CACHED", cached * V)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("biased", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("attached", [False, True], ids=["detached", "attached"])
@pytest.mark.parametrize("tau", [2.0, 20.0])
@pytest.mark.parametrize("targets", ["random", "one", "distinct"])
def test_equals_the_direct_form_with_gradients(
    tied: bool, biased: bool, attached: bool, tau: float, targets: str
) -> None:
    torch.manual_seed(0)
    h, w, other = (torch.randn(n, D, dtype=torch.float64, requires_grad=True) for n in (30, V, V))
    table = w if tied else other
    b = torch.randn(V, dtype=torch.float64, requires_grad=True) if biased else None
    y = {"random": torch.randint(V, (30,)), "one": torch.full((30,), 3), "distinct": torch.randperm(V)[:30]}[targets]
    expected, kl = direct(h, w, table, y, b, tau, 3.0, attached)
    found, _, divergence = augmented_cross_entropy(h, w, table, y, b, temperature=tau, strength=3.0, attached=attached)
    assert float(kl.detach()) >= 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(divergence, kl.detach(), rtol=0, atol=1e-12)
    leaves = [h, w, *([b] if b is not None else []), *([other] if attached and not tied else [])]
    ours, theirs = torch.autograd.grad(found, leaves), torch.autograd.grad(expected, leaves)
    for mine, its in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-12)
    if not attached:
        assert float(ours[1].sum(0).abs().max()) < 1e-12, "the rows of the table sum to 0"


def test_the_teacher_comes_first_and_the_divergence_vanishes_at_the_teacher() -> None:
    torch.manual_seed(0)
    w, vectors, y = torch.randn(V, D), torch.randn(V, D), torch.randint(V, (20,))
    h = torch.randn(20, D)
    _, _, forward = augmented_cross_entropy(h, w, vectors, y, temperature=2.0)
    student, teacher = (h @ w.T / 2).log_softmax(-1), (vectors[y] @ vectors.T / 2).log_softmax(-1)
    torch.testing.assert_close(forward, F.kl_div(student, teacher, log_target=True, reduction="batchmean"))
    reverse = F.kl_div(teacher, student, log_target=True, reduction="batchmean")
    assert abs(float(forward - reverse)) > 0.01
    _, _, none = augmented_cross_entropy(vectors[y], vectors, vectors, y, temperature=2.0)
    assert abs(float(none)) < 1e-6


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_the_quadratic_form_is_the_limit_of_high_temperatures(tied: bool) -> None:
    torch.manual_seed(0)
    h, w, other = (torch.randn(n, D, dtype=torch.float64, requires_grad=True) for n in (200, 500, 500))
    vectors, y = w if tied else other, torch.randint(500, (200,))
    errors = []
    for tau in (10.0, 20.0, 40.0):
        _, kl = direct(h, w, vectors, y, None, tau, 0.0, attached=False)
        close = quadratic_divergence(h, w, vectors, y, tau)
        assert float(((close - kl) / kl).detach().abs()) < 2 / tau
        pairs = zip(torch.autograd.grad(close, [h, w]), torch.autograd.grad(kl, [h, w]), strict=True)
        errors.append([float((mine - its).norm() / its.norm()) for mine, its in pairs])
    assert max(errors[1]) < 0.05
    for before, after in ((0, 1), (1, 2)):
        for part in (0, 1):
            assert errors[after][part] < 0.7 * errors[before][part]


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_the_quadratic_form_equals_its_formula_with_gradients(tied: bool) -> None:
    torch.manual_seed(0)
    h, w, other = (torch.randn(n, D, dtype=torch.float64, requires_grad=True) for n in (30, 40, 40))
    vectors, y, tau = w if tied else other, torch.randint(40, (30,)), 3.0
    fixed = vectors.detach()
    u = fixed[y]
    rows, others = w - w.mean(0), fixed - fixed.mean(0)
    own, cross, theirs = (a.T @ b / 40 for a, b in ((rows, rows), (rows, others), (others, others)))
    terms = ((h @ own) * h).sum(1) - 2 * ((h @ cross) * u).sum(1) + ((u @ theirs) * u).sum(1)
    expected = terms.mean() / (2 * tau**2)
    found = quadratic_divergence(h, w, vectors, y, tau)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    ours, formula = (torch.autograd.grad(value, [h, w]) for value in (found, expected))
    for mine, its in zip(ours, formula, strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-12)
    assert float(ours[1].sum(0).abs().max()) < 1e-12, "the rows of the table sum to 0"


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("form", ["exact", "quadratic"])
def test_a_projected_table_under_autocast(form: Any, biased: bool) -> None:
    torch.manual_seed(0)
    embedding = TiedEmbedding(2000, D, 0.3, dim=4)
    head = AugmentedSoftmaxHead(embedding.output_table(), bias=biased, form=form)
    head.use_embedding(embedding)
    h, y = torch.randn(300, D), torch.randint(2000, (300,))
    exact = head.loss(h, y).loss
    with torch.autocast("cpu", torch.bfloat16):
        mixed = head.loss(h, y).loss
    assert mixed.dtype == torch.float32
    assert float((mixed - exact).detach().abs()) < 2e-3


def test_it_is_differentiated_once() -> None:
    h, w, y = torch.randn(5, D, requires_grad=True), torch.randn(9, D, requires_grad=True), torch.arange(5)
    for value in (quadratic_divergence(h, w, w, y), augmented_cross_entropy(h, w, w, y)[0]):
        (gradient,) = torch.autograd.grad(value**2, h, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            gradient.sum().backward()
