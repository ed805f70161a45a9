"""`W^T W` and `W^T 1` of a subspace table, from how often digits occur together."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zoo.layers.subspace_table import SubspaceTable


class DigitGram:
    """`(W^T W)_jl = T_j^T N_jl T_l` and `(W^T 1)_j = T_j^T N_jj 1`.

    `N_jl[a, b]` is the number of tokens that have digit a in table j and b in table l, so that
    q = |W h|^2 and s = sum_v (W h)_v are differentiable functions of the short tables, whatever V is. Rows of their own
    are added. The counts are kept until the codes change.

    Args:
        table: the table.
    """

    def __init__(self, table: SubspaceTable) -> None:
        self._table = (table,)  # in a tuple, so that it does not become a part of a module
        self._counted: tuple[object, ...] | None = None
        self._together: dict[tuple[int, int], Tensor] = {}

    def __call__(self) -> tuple[Float[Tensor, "dim dim"], Float[Tensor, " dim"]]:
        """`W^T W` and `W^T 1`, in at least float32."""
        table = self._table[0]
        dtype = torch.promote_types(table.matrix.dtype, torch.float32)
        tables = table.matrix.to(dtype).view(table.num_tables, table.base, -1)
        if table.is_helping:
            assert table.helpers is not None
            tables = torch.cat([tables, table.helpers.to(dtype).view_as(tables)])
        self._count()
        rows, totals = [], []
        for j, left in enumerate(tables):
            blocks = [left.T @ self._counts(j, k).to(dtype) @ right for k, right in enumerate(tables)]
            rows.append(torch.cat(blocks, 1))
            totals.append(left.T @ self._counts(j, j).to(dtype).sum(1))
        gram, total = torch.cat(rows), torch.cat(totals)
        # a token's block is the sum of the rows of a table and of its helper
        gram = gram.view(-1, table.width, gram.shape[1]).sum(0).view(table.width, -1, table.width).sum(1)
        total = total.view(-1, table.width).sum(0)
        if table.own is None:
            return gram, total
        own = table.own.matrix.to(dtype)
        return gram + own.T @ own, total + own.sum(0)

    def sums_of(self, numbers: Float[Tensor, " vocab"]) -> Float[Tensor, " dim"]:
        """`W^T b` with one number a token, O(V f)."""
        table = self._table[0]
        by_place = torch.zeros_like(numbers).index_put((table.places.long(),), numbers)
        tail, parts = by_place[table.own_rows :], []
        tables = table.matrix.to(numbers.dtype).view(table.num_tables, table.base, -1)
        for rows, codes in zip(tables, table.codes.T, strict=True):
            parts.append(tail.new_zeros(table.base).index_add(0, codes.long(), tail) @ rows)
        if table.is_helping:
            assert table.helpers is not None
            helpers = table.helpers.to(numbers.dtype).view_as(tables)
            for j, (rows, codes) in enumerate(zip(helpers, table.helper_codes.T, strict=True)):
                parts[j] = parts[j] + tail.new_zeros(table.base).index_add(0, codes.long(), tail) @ rows
        sums = torch.cat(parts)
        return sums if table.own is None else sums + by_place[: table.own_rows] @ table.own.matrix.to(numbers.dtype)

    def _count(self) -> None:
        """Count anew where the codes are not those that were counted."""
        table = self._table[0]
        codes = table.codes
        # a tensor counts its own changes
        state: tuple[object, ...] = (id(codes), codes._version, table.is_helping)
        if table.is_helping:
            codes = torch.cat([codes, table.helper_codes], 1)
            state += (table.helper_codes._version,)
        if state == self._counted:
            return
        self._together = {
            (j, k): _together(codes[:, j].long(), codes[:, k].long(), table.base)
            for j in range(codes.shape[1])
            for k in range(j, codes.shape[1])
        }
        self._counted = state

    def _counts(self, j: int, k: int) -> Tensor:
        return self._together[j, k] if j <= k else self._together[k, j].T


def _together(first: Int[Tensor, " tokens"], second: Int[Tensor, " tokens"], base: int) -> Int[Tensor, "base base"]:
    """How often each pair of digits occurs."""
    return (first * base + second).bincount(minlength=base**2).view(base, base)
