"""The factored output matrix against a dense one with autograd through all D outputs, in float64."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.heads.sparse_target import (
    ColumnUpdate,
    CoupledUpdate,
    FactoredMatrix,
    KroneckerUpdate,
    OutputGradient,
    PlainUpdate,
    RowGradient,
    SphericalLoss,
    SphericalSoftmax,
    SphericalZLoss,
    SquaredError,
    StepMoments,
    TaylorSoftmax,
)

D, d, STEPS = 300, 24, 50
BOUND = 1e-10


def squared(o: Tensor, targets: Tensor, values: Tensor) -> Tensor:
    full = torch.zeros_like(o).scatter_add(1, targets, values)
    return ((o - full) ** 2).sum(-1)


def of_classes(one: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The loss of every class, (m, D), picked at the targets."""
    return lambda o, targets, values: (values * one(o).gather(1, targets)).sum(-1)


def z_losses(alpha: float, beta: float) -> Callable[[Tensor], Tensor]:
    def one(o: Tensor) -> Tensor:
        z = (o - o.mean(-1, keepdim=True)) / (o.var(-1, keepdim=True, correction=0) + 1e-12).sqrt()
        return F.softplus(alpha * (beta - z)) / alpha

    return one


LOSSES: dict[str, tuple[SphericalLoss, Callable[[Tensor, Tensor, Tensor], Tensor], float]] = {
    "squared": (SquaredError(), squared, 0.002),
    "spherical": (
        SphericalSoftmax(0.1),
        of_classes(lambda o: -((o**2 + 0.1) / (o**2 + 0.1).sum(-1, keepdim=True)).log()),
        0.05,
    ),
    "taylor": (
        TaylorSoftmax(),
        of_classes(lambda o: -((1 + o + o**2 / 2) / (1 + o + o**2 / 2).sum(-1, keepdim=True)).log()),
        0.1,
    ),
    "z": (SphericalZLoss(0.8, 3.0), of_classes(z_losses(0.8, 3.0)), 0.2),
}


def examples(m: int, count: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden vectors whose last feature is 1 (a bias), targets that repeat within and over examples, values."""
    generator = torch.Generator().manual_seed(step)
    hidden = torch.randn(m, d, generator=generator, dtype=torch.float64)
    hidden[:, -1] = 1
    targets = torch.randint(max(40, 2 * count), (m, count), generator=generator)
    values = torch.rand(m, count, generator=generator, dtype=torch.float64) if count > 1 else torch.ones(m, 1).double()
    return hidden, targets, values * min(1, 3 / count)


def start() -> Tensor:
    return 0.3 * torch.randn(D, d, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def assert_same(matrix: FactoredMatrix, dense: Tensor, bound: float = BOUND) -> None:
    torch.testing.assert_close(matrix.dense(), dense, rtol=0, atol=bound * float(dense.abs().max()))
    torch.testing.assert_close(matrix.gram, dense.T @ dense, rtol=0, atol=bound * float((dense.T @ dense).abs().max()))
    torch.testing.assert_close(matrix.total, dense.sum(0), rtol=0, atol=bound * D)
    assert torch.equal(matrix.gram, matrix.gram.T)
    assert matrix.health < bound


class DenseUpdate:
    """What the columns are multiplied with, from the dense gradient."""

    def __init__(self, kind: str) -> None:
        self.kind, self.steps = kind, 0
        self.moment = torch.zeros(d, dtype=torch.float64) if kind == "coupled" else torch.zeros(d, d).double()

    def __call__(self, gradient: Tensor, hidden: Tensor) -> Tensor:
        if self.kind == "plain":
            return gradient
        self.steps += 1
        if self.kind == "coupled":
            self.moment = 0.9 * self.moment + 0.1 * gradient.square().mean(0)
            return gradient / ((self.moment / (1 - 0.9**self.steps)).sqrt() + 1e-4)
        self.moment = 0.9 * self.moment + 0.1 * hidden.T @ hidden / len(hidden)
        mean = self.moment / (1 - 0.9**self.steps)
        damped = mean + 0.1 * mean.diagonal().mean() * torch.eye(d, dtype=torch.float64)
        step: Tensor = gradient @ torch.linalg.inv(damped)
        return step


def updates(kind: str) -> ColumnUpdate:
    if kind == "coupled":
        return CoupledUpdate(d, beta2=0.9, eps=1e-4).double()
    return PlainUpdate() if kind == "plain" else KroneckerUpdate(d, decay=0.9, damping=0.1).double()


CASES = (
    *product(LOSSES, (1,), (1, 16, d, 60), ("plain",)),
    *product(LOSSES, (1,), (16, 60), ("coupled", "kronecker")),
    *product(LOSSES, (3, 100), (16, 60), ("plain",)),
    *product(("squared", "z"), (3, 100), (16, 60), ("coupled", "kronecker")),
)


@pytest.mark.parametrize(("name", "count", "m", "kind"), CASES)
def test_every_step_is_that_of_the_dense_layer(name: str, count: int, m: int, kind: str) -> None:
    loss, oracle, rate = LOSSES[name]
    rate = rate / m * (1 if kind == "plain" else 0.1)
    dense, matrix = start(), FactoredMatrix(start())
    update, dense_update = updates(kind), DenseUpdate(kind)
    for step in range(STEPS):
        hidden, targets, values = examples(m, count, step)
        h, w = hidden.clone().requires_grad_(), dense.clone().requires_grad_()
        expected = oracle(h @ w.T, targets, values)
        expected.sum().backward()
        assert h.grad is not None
        assert w.grad is not None
        value, gradient = matrix.gradient(hidden, targets, loss, values)
        torch.testing.assert_close(value, expected.detach(), rtol=BOUND, atol=BOUND)
        torch.testing.assert_close(gradient.to_hidden, h.grad, rtol=0, atol=BOUND * float(h.grad.abs().max()))
        moments = StepMoments(matrix, gradient)
        torch.testing.assert_close(moments.square_norm, w.grad.square().sum(), rtol=1e-9, atol=0)
        matrix.step(moments, rate, update)
        dense = dense - rate * dense_update(w.grad, hidden)
        matrix.stabilise()
    assert_same(matrix, dense)


@pytest.mark.parametrize(("name", "count"), [*product(LOSSES, (1,)), ("squared", 100), ("z", 100)])
def test_decay_clipping_and_accumulation_are_exact(name: str, count: int) -> None:
    loss, oracle, rate = LOSSES[name]
    dense, matrix = start(), FactoredMatrix(start())
    for step in range(STEPS):
        parts, w = [], dense.clone().requires_grad_()
        for part in range(3):
            hidden, targets, values = examples(10 + part, count, 3 * step + part)
            oracle(hidden @ w.T, targets, values).mean().backward()
            parts.append(matrix.gradient(hidden, targets, loss, values)[1].scaled(1 / len(hidden)))
        assert w.grad is not None
        gradient = OutputGradient.joined(parts)
        norm = w.grad.norm()
        torch.testing.assert_close(StepMoments(matrix, gradient).square_norm.sqrt(), norm, rtol=1e-11, atol=0)
        matrix.step(StepMoments(matrix, gradient.scaled(0.01 / norm)), rate, decay=0.05)
        dense = (1 - rate * 0.05) * dense - rate * 0.01 / norm * w.grad
    assert_same(matrix, dense)


LOOKED_UP = (
    *product(LOSSES, (1,), (12, 40), ("plain",)),
    *product(("squared", "z"), (1,), (12, 40), ("coupled", "kronecker")),
    *product(("squared", "z"), (100,), (12, 40), ("plain",)),
)


@pytest.mark.parametrize(("name", "count", "m", "kind"), LOOKED_UP)
def test_rows_that_are_looked_up_are_stepped_too(name: str, count: int, m: int, kind: str) -> None:
    loss, oracle, rate = LOSSES[name]
    rate = rate / m * (1 if kind == "plain" else 0.1)
    dense, matrix = start(), FactoredMatrix(start())
    update, dense_update = updates(kind), DenseUpdate(kind)
    for step in range(STEPS):
        hidden, targets, values = examples(m, count, step)
        ids = torch.randint(60, (30,), generator=torch.Generator().manual_seed(step))
        pull = torch.randn(30, d, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        w = dense.clone().requires_grad_()
        torch.testing.assert_close(matrix.look_up(ids), dense[ids], rtol=0, atol=BOUND)
        (oracle(hidden @ w.T, targets, values).sum() + (w[ids] * pull).sum()).backward()
        assert w.grad is not None
        gradient = matrix.gradient(hidden, targets, loss, values)[1]
        looked_up = RowGradient.summed(ids, pull)
        moments = StepMoments(matrix, gradient, looked_up)
        torch.testing.assert_close(moments.square_norm, w.grad.square().sum(), rtol=1e-10, atol=0)
        torch.testing.assert_close(moments.column_squares, w.grad.square().sum(0), rtol=1e-9, atol=0)
        matrix.step(moments, rate, update)
        dense = dense - rate * dense_update(w.grad, hidden)
    assert_same(matrix, dense)
