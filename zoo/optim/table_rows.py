"""Sums over the rows of vocabulary tables, wherever the rows lie: in one tensor or in shards over processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard

# Rows that are worked on at a time on a CPU: three tensors of them stay in the cache of a core.
_BLOCK_NUMBERS = 100_000


class TableRows:
    """The tables that lie one after the other in a parameter (rows, H), and which of their rows are on this process.

    Args:
        parameter: a tensor, or a `DTensor` that is sharded by rows or by columns.
        rows: of each table; what lies behind them is padding and never counted. None is one table of all rows.

    Raises:
        ValueError: if the parameter is no matrix, has fewer rows, or is sharded in another way.
    """

    def __init__(self, parameter: Tensor, rows: Sequence[int] | None = None) -> None:
        if parameter.ndim != 2:
            raise ValueError(
                f"a vocabulary table must be a matrix of one row a token, not of shape {tuple(parameter.shape)}: "
                "flat shards of FSDP1 are not supported, use fully_shard (FSDP2)"
            )
        self.rows = tuple(rows) if rows is not None else (parameter.shape[0],)
        if sum(self.rows) > parameter.shape[0] or min(self.rows) < 1:
            raise ValueError(f"tables of {self.rows} rows do not fit in a parameter of {parameter.shape[0]} rows")
        first, count = _rows_here(parameter)
        edges = [min(max(edge - first, 0), count) for edge in accumulate(self.rows, initial=0)]
        self.slices = [slice(start, stop) for start, stop in pairwise(edges)]

    @torch.no_grad()
    def mean(self, tensor: Tensor, column_sums: Callable[[Tensor], Tensor]) -> Tensor:
        """Mean over the rows of each table: (tables, H), in at least float32, the same on all processes of a shard.

        One sum of (tables, H) numbers is exchanged where the rows are sharded; the table itself never is.

        Args:
            tensor: of the parameter's shape and sharding.
            column_sums: of some rows (n, H), as (H,): `sums` or `sums_of_squares`, or a compiled form of them.
        """
        here = local(tensor)
        counted = zip(self.slices, self.rows, strict=True)
        means = torch.stack([_total(here[rows], column_sums) / count for rows, count in counted])
        if isinstance(tensor, DTensor):
            for axis, placement in enumerate(tensor.placements):
                if placement == Shard(0):
                    torch.distributed.all_reduce(means, group=tensor.device_mesh.get_group(axis))
        return means

    def like_columns(self, value: Tensor, parameter: Tensor) -> Tensor:
        """`value` (tables, H) as a tensor that is sharded over columns where the parameter is, for checkpoints."""
        if not isinstance(parameter, DTensor):
            return value
        columns = [Shard(1) if placement == Shard(1) else Replicate() for placement in parameter.placements]
        return DTensor.from_local(value, parameter.device_mesh, columns)


def local(tensor: Tensor) -> Tensor:
    """The part of `tensor` that lies on this process."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def row_blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Rows of tensors of one shape, as few at a time as pays on their device."""
    rows = len(tensors[0])
    if tensors[0].device.type == "cpu" and tensors[0].numel():
        rows = max(1, _BLOCK_NUMBERS // tensors[0].shape[1])
    yield from zip(*(tensor.split(max(rows, 1)) for tensor in tensors), strict=True)


def sums(rows: Tensor) -> Tensor:
    """Sum of each column, in at least float32."""
    return rows.to(torch.promote_types(rows.dtype, torch.float32)).sum(0)


def sums_of_squares(rows: Tensor) -> Tensor:
    """Sum of the squares of each column, in at least float32."""
    return rows.to(torch.promote_types(rows.dtype, torch.float32)).square().sum(0)


def _total(rows: Tensor, column_sums: Callable[[Tensor], Tensor]) -> Tensor:
    total = column_sums(rows[:0])
    for (block,) in row_blocks(rows):
        total = total + column_sums(block)
    return total


def _rows_here(parameter: Tensor) -> tuple[int, int]:
    """First row on this process and how many follow."""
    if not isinstance(parameter, DTensor):
        return 0, parameter.shape[0]
    kinds = [placement for placement in parameter.placements if placement != Replicate()]
    if len(kinds) != len(set(kinds)) or any(kind not in (Shard(0), Shard(1)) for kind in kinds):
        raise ValueError(
            f"a vocabulary table is sharded as {parameter.placements}: shard its rows on one axis of the mesh and its "
            "columns on another at most"
        )
    count = parameter.to_local().shape[0]
    for axis, placement in enumerate(parameter.placements):
        if placement == Shard(0):
            mesh = parameter.device_mesh
            each = -(-parameter.shape[0] // mesh.size(axis))  # torch.chunk: equal parts, the last ones shorter
            return min(each * mesh.get_local_rank(axis), parameter.shape[0]), count
    return 0, count
