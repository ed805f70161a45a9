from __future__ import annotations

import copy
import sys

import pytest
import torch

from bench.speed import sparse_target
from bench.speed.sparse_target import OURS, Size
from zoo.heads.factored_table import FactoredTable
from zoo.heads.sparse_target_head import SparseTargetHead
from zoo.layers.output_matrix import OutputMatrix


def test_both_z_losses_take_the_same_step() -> None:
    torch.manual_seed(0)
    hidden, targets = torch.randn(16, 8), torch.randint(60, (16,))
    start = OutputMatrix(60, 8, 1.0)
    dense = start.matrix.detach() - start.matrix.detach().mean(0)
    head = SparseTargetHead(copy.deepcopy(start), bias=False)
    of_hidden = hidden.clone().requires_grad_()
    head.loss(of_hidden, targets).loss.backward()
    table = head.table
    assert isinstance(table, FactoredTable)
    table.apply_gradient(sparse_target.RATE)
    assert of_hidden.grad is not None
    torch.testing.assert_close(
        sparse_target._dense_z_loss(hidden, dense, targets), of_hidden.grad, rtol=1e-4, atol=1e-6
    )
    torch.testing.assert_close(dense, head.table.weight(), rtol=0, atol=1e-6)


def test_contestants_are_timed() -> None:
    timings = sparse_target.measure(Size(300, 8, 4), rounds=1)
    assert list(timings) == [OURS, "Z-loss, whole table in place", "linear + cross_entropy + SGD"]
    assert all(timing.median > 0 for timing in timings.values())


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process can be reset on Linux only")
@pytest.mark.parametrize("size", [Size(200_000, 64, 256), Size(30_000, 512, 128)], ids=str)
def test_a_step_needs_little_beside_the_table(size: Size) -> None:
    """Scores of all classes would be 205 MB and 15 MB; U, its inverse and W^T W count too."""
    table, added = sparse_target.measure_memory(size)
    assert table == size.classes * size.width * 4
    assert 3 * size.width**2 * 4 < added < sparse_target.MOST_ADDED
