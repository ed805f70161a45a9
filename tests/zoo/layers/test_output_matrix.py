from __future__ import annotations

import torch

from zoo.layers.output_matrix import OutputMatrix


def test_rows_are_those_of_the_table() -> None:
    table = OutputMatrix(7, 3)
    assert tuple(table.weight().shape) == (table.num_rows, table.width) == (7, 3)
    assert torch.equal(table.rows(torch.tensor([6, 0])), table.weight()[[6, 0]])
