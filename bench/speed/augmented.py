"""The augmented loss against the plain softmax: a step of the head alone, tied full table, float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.speed.ratio import Timing, time_in_turn
from zoo.heads.augmented_softmax_head import AugmentedSoftmaxHead
from zoo.heads.softmax_head import SoftmaxHead
from zoo.layers.output_matrix import OutputMatrix

PLAIN = "plain softmax"
STRENGTH, TEMPERATURE = 1.0, 20.0


@dataclass(frozen=True)
class Shape:
    """V, D and N of one measurement."""

    vocabulary: int
    width: int
    rows: int

    def __str__(self) -> str:
        return f"V = {self.vocabulary:,}, D = {self.width}, N = {self.rows:,}"


SHAPES = (Shape(33_278, 200, 700), Shape(33_278, 650, 700), Shape(33_278, 200, 4096), Shape(30_000, 384, 4096))


def measure(shape: Shape, rounds: int = 5) -> dict[str, Timing]:
    """Forward and backward of the head; targets are drawn as words are, by Zipf's law.

    Args:
        shape: V, D and N.
        rounds: counted rounds.
    """
    torch.manual_seed(0)
    table = OutputMatrix(shape.vocabulary, shape.width, 0.1)
    hidden = torch.randn(shape.rows, shape.width, requires_grad=True)
    chances = 1 / torch.arange(1, shape.vocabulary + 1).double()
    targets = chances.multinomial(shape.rows, replacement=True)

    def step(loss: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            hidden.grad = None
            table.zero_grad()
            loss().backward()

        return run

    heads: dict[str, nn.Module] = {
        PLAIN: SoftmaxHead(table, bias=False),
        "augmented, exact": AugmentedSoftmaxHead(table, strength=STRENGTH, temperature=TEMPERATURE),
        "augmented, quadratic": AugmentedSoftmaxHead(
            table, strength=STRENGTH, temperature=TEMPERATURE, form="quadratic"
        ),
    }
    steps = {name: step(lambda head=head: head.loss(hidden, targets).loss) for name, head in heads.items()}  # type: ignore[misc]
    steps["augmented, as the paper writes it"] = step(lambda: _direct(hidden, table.matrix, targets))
    return time_in_turn(steps, rounds)


def _direct(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Both distributions over all tokens for all rows, by autograd."""
    scores = hidden @ weight.T
    with torch.no_grad():
        teacher = (weight[targets] @ weight.T / TEMPERATURE).log_softmax(-1)
    student = (scores / TEMPERATURE).log_softmax(-1)
    divergence = F.kl_div(student, teacher, log_target=True, reduction="batchmean")
    return F.cross_entropy(scores, targets) + STRENGTH * TEMPERATURE * divergence
