from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zoo.heads.sparse_target import (
    Outputs,
    SphericalLoss,
    SphericalSoftmax,
    SphericalZLoss,
    SquaredError,
    TaylorSoftmax,
)

LOSSES = [SquaredError(), SphericalSoftmax(), TaylorSoftmax(), SphericalZLoss(), SphericalZLoss(1.5, 2.0)]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_derivatives_are_those_of_autograd(loss: SphericalLoss) -> None:
    torch.manual_seed(0)
    o = torch.randn(5, 30, dtype=torch.float64)
    targets, values = torch.randint(30, (5, 3)), torch.rand(5, 3, dtype=torch.float64)
    seen = [part.requires_grad_() for part in (o.square().sum(-1), o.sum(-1), o.gather(1, targets))]
    found = loss.partials(Outputs(seen[0], seen[1], seen[2], 30), values)
    expected = torch.autograd.grad(found.value.sum(), seen, allow_unused=True)
    for derivative, by_autograd in zip((found.square_norm, found.total, found.targets), expected, strict=True):
        zero = torch.zeros_like(derivative)
        torch.testing.assert_close(derivative, zero if by_autograd is None else by_autograd, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_promises_hold(loss: SphericalLoss) -> None:
    torch.manual_seed(0)
    o = torch.randn(7, 40, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(40, (7, 1))
    value = loss.partials(_seen(o, targets), torch.ones(7, 1).double()).value
    (gradient,) = torch.autograd.grad(value.sum(), o)
    assert bool((gradient.sum(-1).abs() < 1e-12).all()) == loss.zero_sum
    if loss.is_probability:
        everything = [_value(loss, o, torch.full((7, 1), c)) for c in range(40)]
        torch.testing.assert_close(torch.stack(everything).neg().exp().sum(0), torch.ones(7).double())
        logits = loss.logits(o).log_softmax(-1).gather(1, targets).squeeze(1)
        torch.testing.assert_close(logits, -value)
        assert torch.equal(loss.ranking(o).argsort(-1), loss.logits(o).argsort(-1))
    else:
        with pytest.raises(NotImplementedError, match="is no probability"):
            loss.logits(o)
    # a class that is ranked higher costs less, and a number that is hit costs least
    better = o.detach().scatter(1, targets, 1.0 if loss.is_regression else 3.0)
    assert bool((_value(loss, better, targets) < value).all())


def test_taylor_is_spherical_of_outputs_that_are_one_larger() -> None:
    torch.manual_seed(0)
    o, targets = torch.randn(4, 20, dtype=torch.float64), torch.randint(20, (4, 1))
    torch.testing.assert_close(_value(TaylorSoftmax(), o, targets), _value(SphericalSoftmax(1.0), o + 1, targets))


def test_z_loss_sees_neither_shift_nor_scale() -> None:
    torch.manual_seed(0)
    o, targets = torch.randn(4, 20, dtype=torch.float64), torch.randint(20, (4, 1))
    loss = SphericalZLoss()
    torch.testing.assert_close(_value(loss, o, targets), _value(loss, 5 * o - 3, targets))
    assert torch.isfinite(_value(loss, torch.zeros(4, 20), targets)).all()


def test_no_probability_is_above_the_leverage() -> None:
    torch.manual_seed(0)
    w = torch.randn(200, 6, dtype=torch.float64)
    leverage = ((w @ torch.linalg.inv(w.T @ w)) * w).sum(-1)
    torch.testing.assert_close(leverage.sum(), torch.tensor(6.0, dtype=torch.float64))
    best = torch.linalg.inv(w.T @ w) @ w.T  # the hidden vector at which each class is highest
    shares = (w @ best).square() / (w @ best).square().sum(0)
    torch.testing.assert_close(shares.diagonal(), leverage)
    random = (w @ torch.randn(6, 1000, dtype=torch.float64)).square()
    assert bool((random / random.sum(0) <= leverage[:, None] + 1e-12).all())


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"eps=0\.0: set it above 0, such as 0\.01"):
        SphericalSoftmax(0.0)
    with pytest.raises(ValueError, match=r"alpha=-1\.0: set it above 0, such as 0\.7"):
        SphericalZLoss(-1.0)


def _seen(o: Tensor, targets: Tensor) -> Outputs:
    return Outputs(o.square().sum(-1), o.sum(-1), o.gather(1, targets), o.shape[1])


def _value(loss: SphericalLoss, o: Tensor, targets: Tensor) -> Tensor:
    return loss.partials(_seen(o, targets), torch.ones(targets.shape, dtype=o.dtype)).value.detach()
