"""A subspace table against a full one: cross-entropy, look-up with its optimizer step, and memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW

from bench.speed.ratio import Timing, time_in_turn
from zoo.layers.linear_cross_entropy import linear_cross_entropy
from zoo.layers.subspace_table import SubspaceTable

OURS = "subspace"
ROWS, TOKENS = 128, 8192


@dataclass(frozen=True)
class Shape:
    """V, D and f of one measurement."""

    vocabulary: int
    width: int
    tables: int

    def __str__(self) -> str:
        return f"V = {self.vocabulary:,}, D = {self.width}, f = {self.tables}"


SHAPES = (
    Shape(30_522, 384, 2),
    Shape(30_522, 384, 3),
    Shape(250_002, 768, 2),
    Shape(250_002, 768, 3),
)
GROWING = (30_000, 100_000, 300_000, 1_000_000)


def measure_loss(shape: Shape, rounds: int = 5, *, bias: bool = False, own_rows: int = 0) -> dict[str, Timing]:
    """Forward and backward of the cross-entropy of 128 rows, tied tables, float32.

    Against one product with the composed table and `cross_entropy`, and against our own chunks over a full table.

    Args:
        shape: of the table.
        rounds: counted rounds.
        bias: whether each token has a number of its own.
        own_rows: R.
    """
    torch.manual_seed(0)
    table = SubspaceTable(shape.vocabulary, shape.width, num_tables=shape.tables, own_rows=own_rows)
    hidden = torch.randn(ROWS, shape.width, requires_grad=True)
    targets = torch.randint(shape.vocabulary, (ROWS,))
    numbers = nn.Parameter(torch.zeros(shape.vocabulary)) if bias else None
    full = nn.Parameter(table.weight().detach().clone())

    def step(loss: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            for leaf in (hidden, full, numbers, *table.parameters()):
                if leaf is not None:
                    leaf.grad = None
            loss().backward()

        return run

    return time_in_turn(
        {
            OURS: step(lambda: table.cross_entropy(hidden, targets, numbers)),
            "linear + cross_entropy": step(lambda: F.cross_entropy(F.linear(hidden, full, numbers), targets)),
            "full table in chunks": step(lambda: linear_cross_entropy(hidden, full, targets, numbers)),
            "composed each step": step(lambda: F.cross_entropy(F.linear(hidden, table.weight(), numbers), targets)),
        },
        rounds,
    )


def measure_growth(width: int = 384, tables: int = 2, rounds: int = 5) -> dict[int, Timing]:
    """Forward and backward of our cross-entropy of 128 rows, for vocabularies of growing size.

    Args:
        width: D.
        tables: f.
        rounds: counted rounds.
    """
    hidden = torch.randn(ROWS, width, requires_grad=True)

    def step(vocabulary: int) -> Callable[[], None]:
        table = SubspaceTable(vocabulary, width, num_tables=tables)
        targets = torch.randint(vocabulary, (ROWS,))
        return lambda: table.cross_entropy(hidden, targets).backward()

    timings = time_in_turn({str(vocabulary): step(vocabulary) for vocabulary in GROWING}, rounds)
    return {int(vocabulary): timing for vocabulary, timing in timings.items()}


def measure_lookup(shape: Shape, rounds: int = 5) -> tuple[dict[str, Timing], dict[str, int]]:
    """Look-up of 8,192 tokens, backward and AdamW, and the bytes of table, gradient, optimizer state and codes.

    Args:
        shape: of the table.
        rounds: counted rounds.
    """
    torch.manual_seed(0)
    tokens = torch.randint(shape.vocabulary, (TOKENS,))
    direction = torch.randn(TOKENS, shape.width)
    table = SubspaceTable(shape.vocabulary, shape.width, num_tables=shape.tables)
    full = nn.Embedding(shape.vocabulary, shape.width)
    contestants, sizes = {}, {}
    modules: dict[str, tuple[nn.Module, Callable[[], Tensor]]] = {
        OURS: (table, lambda: table.rows(tokens)),
        "full table": (full, lambda: full(tokens)),
    }
    for name, (module, look_up) in modules.items():
        contestants[name] = _lookup_step(module, look_up, direction)
        contestants[name]()
        sizes[name] = 4 * sum(p.numel() * p.element_size() for p in module.parameters())
        sizes[name] += sum(b.numel() * b.element_size() for b in module.buffers())
    return time_in_turn(contestants, rounds), sizes


def _lookup_step(module: nn.Module, look_up: Callable[[], Tensor], direction: Tensor) -> Callable[[], None]:
    optimizer = AdamW(module.parameters(), lr=1e-4)

    def run() -> None:
        optimizer.zero_grad()
        look_up().backward(direction)
        optimizer.step()

    return run
