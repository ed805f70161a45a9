"""One recurrent layer over packed sequences, with a backward pass written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


class _Recurrence(torch.autograd.Function):
    """A time step is one small product and a few element-wise passes over buffers of the whole window.

    Autograd would record some twenty nodes a step and form the gradient of the recurrent weight once a step; here it is
    one product over the whole window. The final state has no gradient: windows are trained one at a time.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, mask: Tensor, hidden: Tensor, cell: Tensor, sizes: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        width = hidden.shape[1]
        gates, transposed = inputs.clone(), weight.T
        cells, activated, outputs = (inputs.new_empty(len(inputs), width) for _ in range(3))
        last_hidden, last_cell = hidden.clone(), cell.clone()
        previous, start = hidden * mask, 0
        for size in sizes:
            rows = slice(start, start + size)
            gate = gates[rows].addmm_(previous[:size], transposed)
            squashed, update = gate[:, : 3 * width].sigmoid_(), gate[:, 3 * width :].tanh_()
            now, out = cells[rows], outputs[rows]
            torch.mul(squashed[:, width : 2 * width], last_cell[:size], out=now).addcmul_(squashed[:, :width], update)
            torch.tanh(now, out=activated[rows])
            last_cell[:size] = now
            torch.mul(squashed[:, 2 * width :], activated[rows], out=last_hidden[:size])
            previous = torch.mul(last_hidden[:size], mask[:size], out=out)
            start += size
        ctx.save_for_backward(gates, weight, mask, hidden, cell, cells, activated, outputs)
        ctx.sizes = sizes
        ctx.mark_non_differentiable(last_hidden, last_cell)
        return outputs, last_hidden, last_cell

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gates, weight, mask, hidden, cell, cells, activated, outputs = ctx.saved_tensors
        width, sizes = hidden.shape[1], ctx.sizes
        before = _shifted(cell, cells, sizes)
        grad_gates = torch.empty_like(gates)
        grad_cell, grad_previous = torch.zeros_like(cell), torch.zeros_like(hidden)
        start = len(gates)
        for size in reversed(sizes):
            rows = slice(start - size, start)
            start -= size
            reach_in, forget, reach_out, update = gates[rows].split(width, dim=1)
            to_in, to_forget, to_out, to_update = grad_gates[rows].split(width, dim=1)
            grad_hidden = grad_previous[:size].add_(grads[0][rows]).mul_(mask[:size])
            torch.mul(grad_hidden, activated[rows], out=to_out)
            inner = torch.ops.aten.tanh_backward(grad_hidden.mul_(reach_out), activated[rows])
            change = grad_cell[:size].add_(inner)
            torch.mul(change, update, out=to_in)
            torch.mul(change, before[rows], out=to_forget)
            torch.mul(change, reach_in, out=to_update)
            change.mul_(forget)
            bounded, grad_bounded = gates[rows, : 3 * width], grad_gates[rows, : 3 * width]
            torch.ops.aten.sigmoid_backward(grad_bounded, bounded, grad_input=grad_bounded)
            torch.ops.aten.tanh_backward(to_update, update, grad_input=to_update)
            torch.mm(grad_gates[rows], weight, out=grad_previous[:size])
        with torch.autocast(gates.device.type, enabled=False):
            grad_weight = grad_gates.T @ _shifted(hidden * mask, outputs, sizes)
        return grad_gates, grad_weight, None, None, None, None


def _shifted(first: Tensor, values: Tensor, sizes: Sequence[int]) -> Tensor:
    """What stood one step earlier at each place: `first` at the first step."""
    steps = values.split(list(sizes))
    return torch.cat([first, *(step[:size] for step, size in zip(steps, sizes[1:], strict=False))])


def lstm_recurrence(
    inputs: Float[Tensor, "rows gates"],
    weight: Float[Tensor, "gates dim"],
    mask: Float[Tensor, "sequences dim"],
    state: tuple[Float[Tensor, "sequences dim"], Float[Tensor, "sequences dim"]],
    sizes: Sequence[int],
) -> tuple[Float[Tensor, "rows dim"], tuple[Float[Tensor, "sequences dim"], Float[Tensor, "sequences dim"]]]:
    """The recurrent part of an LSTM layer whose output is masked in the same way at every step.

    With `z_t = inputs_t + U (m h_{t-1})`, cut into four: `i = s(z^1), f = s(z^2), o = s(z^3), g = tanh(z^4)`;
    `c_t = f c_{t-1} + i g`, `h_t = o tanh(c_t)`. The rows are laid out by time: those of the first step of all
    sequences, then those of the second step of all that have one, longest sequence first.

    Args:
        inputs: what the inputs and the bias add to the gates.
        weight: U.
        mask: m, factors of each sequence.
        state: hidden and cell vectors before the first step, without a mask; they get no gradient.
        sizes: number of sequences at each step, never growing.

    Returns:
        `m h_t` of all steps, and the state after the last step of each sequence, without a mask and without gradient.
        The result can be differentiated once.
    """
    with torch.autocast(inputs.device.type, enabled=False):
        hidden, last_hidden, last_cell = _Recurrence.apply(  # type: ignore[no-untyped-call]
            inputs, weight, mask, *state, tuple(sizes)
        )
    return hidden, (last_hidden, last_cell)
