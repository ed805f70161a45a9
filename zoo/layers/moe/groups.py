"""The rows of a batch sorted by expert, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


@dataclass(frozen=True)
class Groups:
    """T tokens with K experts each, as T K rows of which those of one expert stand side by side.

    Args:
        token: the token that each row is a copy of.
        place: the row of each token and choice.
        counts: rows of each expert.
    """

    token: Int[Tensor, " rows"]
    place: Int[Tensor, "tokens choices"]
    counts: Int[Tensor, " experts"]

    @classmethod
    def of(cls, experts: Int[Tensor, "tokens choices"], num_experts: int) -> Groups:
        """The groups of a choice of `experts`; rows of one expert keep the order of their tokens."""
        flat = experts.flatten()
        order = flat.argsort(stable=True)
        rows = torch.arange(len(flat), device=flat.device)
        place = torch.empty_like(rows).index_copy_(0, order, rows).view_as(experts)
        return cls(order // experts.shape[1], place, torch.bincount(flat, minlength=num_experts))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """`counts` on the host: one wait for the device."""
        return tuple(self.counts.tolist())

    def spread(self, x: Float[Tensor, "tokens dim"]) -> Float[Tensor, "rows dim"]:
        """A row for each token and choice."""
        rows: Tensor = _Spread.apply(x, self.token, self.place)  # type: ignore[no-untyped-call]
        return rows

    def combine(
        self, rows: Float[Tensor, "rows dim"], gates: Float[Tensor, "tokens choices"]
    ) -> Float[Tensor, "tokens dim"]:
        """`sum_j gates_tj rows_place(t,j)`, in the type of `rows`."""
        out: Tensor = _Combine.apply(rows, gates, self.token, self.place)  # type: ignore[no-untyped-call]
        return out


class _Spread(torch.autograd.Function):
    """Both directions are look-ups; autograd would add rows one by one into zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, token: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(place)
        return x.index_select(0, token)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (place,) = ctx.saved_tensors
        return F.embedding_bag(place, grad, mode="sum"), None, None


class _Combine(torch.autograd.Function):
    """A bag of rows a token is one pass over them; autograd would add their gradients one by one into zeros."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, gates: Tensor, token: Tensor, place: Tensor) -> Tensor:
        ctx.save_for_backward(rows, gates, token, place)
        return F.embedding_bag(place, rows, mode="sum", per_sample_weights=gates.to(rows.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, gates, token, place = ctx.saved_tensors
        spread = grad.index_select(0, token)
        by_row = (spread * rows).sum(-1).to(gates.dtype)
        gate = torch.empty_like(by_row).index_copy_(0, place.flatten(), gates.flatten()).to(rows.dtype)
        return spread.mul_(gate[:, None]), by_row[place], None, None
