"""The exact step of a factored output table against steps that touch the whole table: forward, backward and update."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.speed import child
from bench.speed.ratio import Timing, time_in_turn
from zoo.heads.factored_table import FactoredTable
from zoo.heads.sparse_target import Outputs, SphericalZLoss
from zoo.heads.sparse_target_head import SparseTargetHead
from zoo.layers.output_matrix import OutputMatrix
from zoo.peak_memory import forget_peak, peak_bytes

OURS = "factored"
RATE = 1e-3


@dataclass(frozen=True)
class Size:
    """Classes, width and examples of one measurement."""

    classes: int
    width: int
    examples: int

    def __str__(self) -> str:
        return f"V = {self.classes:,}, D = {self.width}, N = {self.examples:,}"


SIZES = (Size(50_000, 256, 128), Size(50_000, 512, 128), Size(200_000, 512, 128), Size(800_000, 512, 128))
GROWING = (10_000, 50_000, 200_000, 800_000)
MOST_ADDED = 8_000_000  # bytes that a step may need beside V


def measure(size: Size, rounds: int = 5) -> dict[str, Timing]:
    """One step in float32: ours, the same Z-loss by three products over the whole table, and a softmax with autograd.

    Args:
        size: of the table and the batch.
        rounds: counted rounds.
    """
    torch.manual_seed(0)
    hidden = torch.randn(size.examples, size.width, requires_grad=True)
    targets = torch.randint(size.classes, (size.examples,))
    start = OutputMatrix(size.classes, size.width)
    table = nn.Parameter(start.matrix.detach().clone())

    def softmax() -> None:
        hidden.grad = table.grad = None
        F.cross_entropy(F.linear(hidden, table), targets).backward()
        assert table.grad is not None
        with torch.no_grad():
            table.add_(table.grad, alpha=-RATE)

    weight = start.matrix.detach()

    def whole() -> None:
        _dense_z_loss(hidden.detach(), weight, targets)

    return time_in_turn(
        {
            OURS: _steps(SparseTargetHead(start, bias=False, lr=RATE), hidden, targets),
            "Z-loss, whole table in place": whole,
            "linear + cross_entropy + SGD": softmax,
        },
        rounds,
    )


def measure_growth(width: int = 512, examples: int = 128, rounds: int = 5) -> dict[int, Timing]:
    """Our step for tables of growing size.

    Args:
        width: D.
        examples: N.
        rounds: counted rounds.
    """
    hidden = torch.randn(examples, width, requires_grad=True)
    heads = {classes: SparseTargetHead(OutputMatrix(classes, width), bias=False, lr=RATE) for classes in GROWING}
    contestants = {
        str(classes): _steps(head, hidden, torch.randint(classes, (examples,))) for classes, head in heads.items()
    }
    return {int(classes): timing for classes, timing in time_in_turn(contestants, rounds).items()}


def measure_memory(size: Size) -> tuple[int, int]:
    """Bytes of V, and of what is beside it at the peak of three steps after the first, in a fresh process (Linux)."""
    command = ["-m", "bench.speed.sparse_target", *map(str, (size.classes, size.width, size.examples))]
    # blocks that are freed go back to the system, so that later ones are not hidden in what is resident already
    done = child.run(command, {"MALLOC_MMAP_THRESHOLD_": "65536"})
    return size.classes * size.width * 4, int(json.loads(done.output)["bytes"])


def _steps(head: SparseTargetHead, hidden: Tensor, targets: Tensor) -> Callable[[], None]:
    table = head.table
    assert isinstance(table, FactoredTable)

    def run() -> None:
        hidden.grad = None
        head.loss(hidden, targets).loss.backward()
        table.apply_gradient(RATE)

    return run


@torch.no_grad()
def _dense_z_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Three products and no autograd: the strongest way to take the same step on the whole table."""
    scores = hidden @ weight.T
    picked = scores.gather(1, targets[:, None])
    outputs = Outputs(scores.square().sum(-1), scores.sum(-1), picked, len(weight))
    slopes = SphericalZLoss().partials(outputs, torch.ones_like(picked))
    error = scores.mul_(2 * slopes.square_norm[:, None]).add_(slopes.total[:, None])
    error.scatter_add_(1, targets[:, None], slopes.targets).div_(len(hidden))
    to_hidden = error @ weight
    weight.addmm_(error.T, hidden, alpha=-RATE)
    return to_hidden


def _added_peak(size: Size) -> int:
    hidden = torch.randn(size.examples, size.width, requires_grad=True)
    head = SparseTargetHead(OutputMatrix(size.classes, size.width), bias=False, lr=RATE)
    step = _steps(head, hidden, torch.randint(size.classes, (size.examples,)))
    step()  # threads and buffers of libraries
    forget_peak()
    before = peak_bytes()
    for _ in range(3):
        step()
    beside = {name: buffer for name, buffer in head.named_buffers() if name != "table.matrix.rows"}
    return peak_bytes() - before + sum(buffer.nbytes for buffer in beside.values())


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"bytes": _added_peak(Size(*map(int, sys.argv[1:])))}))
