from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from zoo.heads.sparse_target import (
    ColumnUpdate,
    CoupledUpdate,
    FactoredMatrix,
    KroneckerUpdate,
    SphericalLoss,
    SphericalSoftmax,
    SphericalZLoss,
    SquaredError,
    StepMoments,
    TaylorSoftmax,
    factored_matrix,
)


def shrunk(width: int = 12, rows: int = 90) -> tuple[FactoredMatrix, Tensor]:
    """A matrix whose U has singular values from 1e-6 to 1e3, and the matrix that it stands for."""
    torch.manual_seed(0)
    matrix = FactoredMatrix(torch.randn(rows, width, dtype=torch.float64))
    left, _ = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64))
    values = torch.ones(width, dtype=torch.float64)
    values[:3] = torch.tensor([1e-6, 1e3, 0.1])
    matrix.mixing.copy_((left * values) @ right)
    matrix.inverse.copy_((right.T / values) @ left.T)
    matrix.shift.normal_()
    dense = matrix.dense()
    matrix.gram.copy_(dense.T @ dense)
    matrix.total.copy_(dense.sum(0))
    return matrix, dense


def test_stabilising_keeps_the_matrix() -> None:
    matrix, dense = shrunk()
    assert max(matrix.spread(iterations=50)) > 1e5
    assert matrix.stabilise() == 3
    torch.testing.assert_close(matrix.dense(), dense, rtol=0, atol=1e-11 * float(dense.abs().max()))
    assert torch.linalg.cond(matrix.mixing) < 4 + 1e-9
    assert matrix.health < 1e-12
    large, small = matrix.spread(iterations=50)
    assert large * small <= 4
    assert matrix.stabilise() == 0


def test_folding_keeps_the_matrix_and_sums_anew() -> None:
    matrix, dense = shrunk()
    matrix.gram += 1  # as if it had drifted
    matrix.stabilise()
    assert not torch.equal(matrix.mixing, torch.eye(12, dtype=torch.float64))
    matrix.fold()
    torch.testing.assert_close(matrix.dense(), dense, rtol=0, atol=1e-11 * float(dense.abs().max()))
    assert torch.equal(matrix.rows, matrix.dense())
    torch.testing.assert_close(matrix.gram, dense.T @ dense)
    torch.testing.assert_close(matrix.total, dense.sum(0))


def test_many_bad_directions_are_folded() -> None:
    matrix, _ = shrunk()
    left, _, right = torch.linalg.svd(matrix.mixing)
    values = torch.logspace(-3, 3, 12, dtype=torch.float64)
    matrix.mixing.copy_((left * values) @ right)
    assert matrix.stabilise() > 4
    assert torch.equal(matrix.mixing, torch.eye(12, dtype=torch.float64))
    torch.testing.assert_close(matrix.dense(), matrix.rows)


def test_a_scale_that_weight_decay_lowered_is_no_reason_to_move_anything() -> None:
    torch.manual_seed(0)
    matrix = FactoredMatrix(torch.randn(50, 6, dtype=torch.float64))
    matrix.mixing *= 0.01
    assert matrix.stabilise() == 0
    matrix.mixing *= 0.01  # where float32 would begin to lose digits
    dense = matrix.dense()
    matrix.stabilise()
    assert torch.equal(matrix.mixing, torch.eye(6, dtype=torch.float64))
    torch.testing.assert_close(matrix.rows, dense)


@pytest.mark.parametrize("share", [0.9, 0.999, 0.99999, 1.0])
def test_a_step_that_makes_the_factors_singular_is_exact_too(share: float) -> None:
    """Squared error of one example of length 1: at rate 1/2 it is Newton's step, and U loses a direction."""
    torch.manual_seed(0)
    start, hidden = torch.randn(40, 8), torch.nn.functional.normalize(torch.randn(1, 8))
    targets, values = torch.tensor([[3]]), torch.ones(1, 1)
    matrix = FactoredMatrix(start.clone())
    _, gradient = matrix.gradient(hidden, targets, SquaredError(), values)
    matrix.step(StepMoments(matrix, gradient), share / 2)
    wanted = torch.zeros(1, 40).scatter(1, targets, values)
    dense = start.double() - share * (hidden @ start.T - wanted).T.double() @ hidden.double()
    torch.testing.assert_close(matrix.dense().double(), dense, rtol=0, atol=2e-4)
    torch.testing.assert_close(matrix.gram.double(), dense.T @ dense, rtol=0, atol=1e-4)


def test_centring_takes_the_mean_row_out() -> None:
    matrix, dense = shrunk()
    matrix.centre()
    centred = dense - dense.mean(0)
    torch.testing.assert_close(matrix.dense(), centred)
    torch.testing.assert_close(matrix.gram, centred.T @ centred, rtol=1e-9, atol=1e-6)
    assert not matrix.total.any()


def test_the_z_loss_keeps_the_mean_and_grows_the_norm_by_its_steps() -> None:
    torch.manual_seed(1)
    matrix = FactoredMatrix(torch.randn(80, 10, dtype=torch.float64))
    matrix.centre()
    for _ in range(20):
        targets = torch.randint(80, (6, 1))
        hidden = torch.randn(6, 10, dtype=torch.float64)
        _, gradient = matrix.gradient(hidden, targets, SphericalZLoss(), torch.ones(6, 1).double())
        before, moments = matrix.gram.trace(), StepMoments(matrix, gradient)
        torch.testing.assert_close(moments.column_total, torch.zeros(6).double(), rtol=0, atol=1e-12)
        matrix.step(moments, 0.3)
        # the eps in the variance is all that depends on the scale
        torch.testing.assert_close(matrix.gram.trace() - before, 0.09 * moments.square_norm, rtol=1e-6, atol=1e-12)
    assert float(matrix.dense().mean(0).abs().max()) < 1e-12


DRIFTS: list[tuple[SphericalLoss, float, float, bool]] = [
    # loss, learning rate, largest error with stabilisation, whether it breaks without
    (SquaredError(), 0.002, 1e-5, True),
    (SphericalSoftmax(0.01), 0.02 / 16, 2e-3, False),
    (TaylorSoftmax(), 0.5 / 16, 1e-4, False),
    (SphericalZLoss(1.0, 0.0), 0.5 / 16, 1e-4, False),
]


@pytest.mark.parametrize(("loss", "rate", "bound", "breaks"), DRIFTS, ids=lambda value: type(value).__name__)
def test_a_thousand_steps_in_float32(
    loss: SphericalLoss, rate: float, bound: float, breaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative error against the same steps in float64, with and without the stabiliser."""
    torch.manual_seed(0)
    start = torch.randn(800, 48) / 48**0.5
    exact, kept, left = FactoredMatrix(start.double()), FactoredMatrix(start), FactoredMatrix(start.clone())
    teacher = torch.randn(48, 800)
    broken = False
    for step in range(1000):
        hidden = torch.randn(16, 48)
        hidden[:, -1] = 1
        targets = (hidden @ teacher).argmax(-1, keepdim=True)
        for matrix in (exact, kept, *([] if broken else [left])):
            x = hidden.to(matrix.rows.dtype)
            _, gradient = matrix.gradient(x, targets, loss, torch.ones(16, 1, dtype=x.dtype))
            # what is left alone has neither the stabiliser nor the guard of a single step
            monkeypatch.setattr(factored_matrix, "_WORST_CONDITION", torch.inf if matrix is left else 1e3)
            try:
                matrix.step(StepMoments(matrix, gradient), rate)
            except FloatingPointError:
                assert matrix is left
                broken = True
            if matrix is not left and (matrix is exact or step % 25 == 24):
                matrix.stabilise()
    reference = exact.dense()

    def error(matrix: FactoredMatrix) -> float:
        return float((matrix.dense() - reference).abs().max() / reference.abs().max())

    assert error(kept) < bound
    assert torch.linalg.cond(kept.mixing) < 10
    if breaks:
        assert broken or left.health > 1e-3 or error(left) > 1e-2
        assert torch.isfinite(left.dense()).all()  # a step that is no number is refused, not taken


def test_a_step_that_is_no_number_is_refused_and_changes_nothing() -> None:
    torch.manual_seed(0)
    matrix = FactoredMatrix(torch.randn(30, 5))
    before = {name: value.clone() for name, value in matrix.state_dict().items()}
    _, gradient = matrix.gradient(torch.randn(4, 5), torch.arange(4)[:, None], SquaredError(), torch.ones(4, 1))
    moments = StepMoments(matrix, gradient.scaled(1e30))
    with pytest.raises(FloatingPointError, match="is not finite: lower the rate of the head, or clip the gradient"):
        matrix.step(moments, 1e10)
    assert all(torch.equal(value, before[name]) for name, value in matrix.state_dict().items())


@pytest.mark.parametrize("examples", [4, 9])
@pytest.mark.parametrize("make", [CoupledUpdate, KroneckerUpdate])
def test_a_refused_step_leaves_no_trace_in_the_running_mean(make: Callable[[int], ColumnUpdate], examples: int) -> None:
    torch.manual_seed(0)
    matrix, update = FactoredMatrix(torch.randn(30, 5)), make(5)

    def moments() -> StepMoments:
        targets = torch.randint(30, (examples, 1))
        _, gradient = matrix.gradient(torch.randn(examples, 5), targets, SquaredError(), torch.ones(examples, 1))
        return StepMoments(matrix, gradient)

    matrix.step(moments(), 1e-4, update)
    before = {name: value.clone() for name, value in update.state_dict().items()}
    assert any(value.any() for value in before.values())
    refused = moments()
    with pytest.raises(FloatingPointError, match="is not finite"):
        matrix.step(refused, 3e38, update)
    assert all(torch.equal(value, before[name]) for name, value in update.state_dict().items())
    matrix.step(refused, 1e-4, update)
    assert int(update.state_dict()["steps"]) == 2


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kept in float32 or float64, not torch\.bfloat16: use bf16-mixed"):
        FactoredMatrix(torch.zeros(4, 2, dtype=torch.bfloat16))
    matrix = FactoredMatrix(torch.randn(8, 2))
    _, gradient = matrix.gradient(torch.randn(1, 2), torch.zeros(1, 1).long(), TaylorSoftmax(), torch.ones(1, 1))
    with pytest.raises(ValueError, match=r"a decay of 2\.0 at a learning rate of 0\.5 leaves nothing"):
        matrix.step(StepMoments(matrix, gradient), 0.5, decay=2.0)
    with pytest.raises(ValueError, match="must lie in"):
        CoupledUpdate(4, beta2=1.0)
    with pytest.raises(ValueError, match=r"damping=0\.0"):
        KroneckerUpdate(4, damping=0.0)
