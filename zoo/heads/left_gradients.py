"""Operations whose gradient with respect to a factored table stays with the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.heads.sparse_target import SphericalLoss

if TYPE_CHECKING:
    from zoo.heads.factored_table import FactoredTable


class LookUp(torch.autograd.Function):
    """Rows of W. The anchor needs a gradient, so that the backward pass comes here."""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, anchor: Tensor, table: FactoredTable) -> Tensor:
        """The rows of `ids`."""
        ctx.ids, ctx.table = ids, table
        return table.look_up(ids)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None]:
        """Leave the gradient of the rows."""
        ctx.table.add_input_gradient(ctx.ids, grads[0])
        return None, None, None


class SparseLoss(torch.autograd.Function):
    """Mean loss of outputs `W h`. The anchor needs a gradient, so that the backward pass comes here."""

    @staticmethod
    def forward(
        ctx: Any,
        wide: Tensor,
        anchor: Tensor,
        targets: Tensor,
        values: Tensor,
        loss: SphericalLoss,
        table: FactoredTable,
    ) -> Tensor:
        """The loss, with its gradient on the way."""
        each, ctx.gradient = table.matrix.gradient(wide.detach(), targets, loss, values)
        ctx.table = table
        return each.mean()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Leave the gradient of W, and give that of the hidden vectors."""
        gradient = ctx.gradient.scaled(grads[0] / len(ctx.gradient))
        ctx.table.add_output_gradient(gradient)
        return gradient.to_hidden, None, None, None, None, None
