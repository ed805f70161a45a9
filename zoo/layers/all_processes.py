"""Rows of all processes that train together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def num_processes() -> int:
    """How many train together; 1 where there is only this one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def counts_of_all(count: int, device: torch.device) -> list[int]:
    """The `count` of every process, that of process 0 first.

    Args:
        count: that of this process.
        device: where the process group exchanges tensors.
    """
    if num_processes() == 1:
        return [count]
    counts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(num_processes())]
    dist.all_gather(counts, torch.tensor([count], device=device))
    return torch.cat(counts).tolist()


def rows_of_all(rows: Tensor, counts: Sequence[int] | None = None) -> Tensor:
    """The rows of every process, those of process 0 first; each may have another number of them, also none.

    The gradient of a row is the sum of what all processes' losses give it. Where each has the loss of its own rows,
    and gradients of parameters are averaged over processes, the gradient is that of the mean of the losses.

    Args:
        rows: those of this process.
        counts: what `counts_of_all` gave for their number; None asks again.
    """
    if num_processes() == 1:
        return rows
    if counts is None:
        counts = counts_of_all(len(rows), rows.device)
    gathered: Tensor = _RowsOfAll.apply(rows, counts)  # type: ignore[no-untyped-call]
    return gathered


class _RowsOfAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: Sequence[int]) -> Tensor:
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        first = sum(counts[: dist.get_rank()])
        ctx.own = slice(first, first + len(rows))
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.own], None
