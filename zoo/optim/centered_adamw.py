"""AdamW that keeps the mean of the rows of output tables at 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

from zoo.optim.table_rows import TableRows, local, sums


class CenteredAdamW(AdamW):
    """`torch.optim.AdamW`, and after each step `e_i <- e_i - (1/V) sum_j e_j` for the rows of every output table.

    Logits under a softmax do not change when one vector is added to all rows, so for an untied table this changes
    nothing but the table; a tied table is also what the encoder reads. Tied tables are output tables.

    Args:
        params: groups of `zoo.optim.groups.by_role`.
        lr: learning rate.
        betas: decay of the first and the second moment.
        eps: added to the root.
        weight_decay: of matrices, decoupled, times lr.
        table_weight_decay: of the rows of vocabulary tables.
        fused: torch's fused form; None is torch's choice.

    Raises:
        ValueError: if the model has no output table, or would be changed by a shift of its rows.

    References:
        F. Stollenwerk, A. Lokrantz and N. Hertzberg, arXiv 2601.02031 (mu-centering).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        table_weight_decay: float = 0.0,
        fused: bool | None = None,
    ) -> None:
        groups = [{**group, "params": list(group["params"])} if isinstance(group, dict) else group for group in params]
        if not all(isinstance(group, dict) and "role" in group for group in groups):
            raise ValueError(
                "CenteredAdamW must know which parameters are tables: pass zoo.optim.groups.by_role(model)"
            )
        for group in groups:
            if group["role"] == "vocabulary":
                group["weight_decay"] = table_weight_decay
        super().__init__(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)
        if not list(self._output_tables()):
            raise ValueError("CenteredAdamW finds no output table to centre: use AdamW")
        if not all(group["zero_sum"] for group in self.param_groups if _is_output(group)):
            raise ValueError(
                "CenteredAdamW would change the model and not only its table: the loss, or a table with own rows or "
                "chained digits, is not indifferent to a shift of rows; set own_rows: 0 and teacher_gradient: false, "
                "or use AdamW"
            )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter, then the centring."""
        loss = super().step(closure)
        for table, rows in self._output_tables():
            tables = TableRows(table, rows)
            for where, mean in zip(tables.slices, tables.mean(table, sums), strict=True):
                local(table)[where] -= mean.to(table.dtype)
        return loss

    def _output_tables(self) -> Iterable[tuple[Tensor, Any]]:
        for group in self.param_groups:
            if _is_output(group):
                yield from zip(group["params"], group["table_rows"], strict=True)


def _is_output(group: dict[str, Any]) -> bool:
    return bool(group["role"] == "vocabulary" and group["side"] != "input")
