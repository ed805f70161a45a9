"""Tables that give back the vectors of a trained model as well as their codes can."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.layers.subspace_table import SubspaceTable


def start_at(table: SubspaceTable, rows: Tensor) -> None:
    """Set the rows of the tables, and the own rows, so that the composed table is next to `rows` in squares.

    Row k of table j becomes the mean of slice j over the tokens whose digit j is k; a row of no token stays as it is.

    Args:
        table: with its codes.
        rows: V x D, by token id.
    """
    rows = rows.to(table.matrix.device)
    by_place = torch.empty_like(rows)
    by_place[table.places.long()] = rows
    tail = by_place[table.own_rows :].view(-1, table.num_tables, table.width // table.num_tables)
    with torch.no_grad():
        for j in range(table.num_tables):
            digits = table.codes[:, j].long()
            counts = digits.bincount(minlength=table.base)
            sums = tail.new_zeros(table.base, tail.shape[2]).index_add_(0, digits, tail[:, j])
            used = counts > 0
            block = table.matrix[j * table.base : (j + 1) * table.base]
            block[used] = (sums[used] / counts[used, None]).to(block)
        if table.own is not None:
            table.own.matrix.copy_(by_place[: table.own_rows])
