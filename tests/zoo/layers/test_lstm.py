from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zoo.layers.lstm import lstm_recurrence

WIDTH = 3
SIZES = {"equal": [4, 4, 4], "shrinking": [4, 3, 3, 1], "one step": [2], "one sequence": [1, 1, 1, 1]}
sizes_of_all_kinds = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())


def given(sizes: list[int], dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Inputs, weight, mask, hidden and cell."""
    torch.manual_seed(0)
    shapes = [(sum(sizes), 4 * WIDTH), (4 * WIDTH, WIDTH), *3 * [(sizes[0], WIDTH)]]
    return tuple(torch.randn(shape, dtype=dtype) for shape in shapes)


@sizes_of_all_kinds
def test_gradients_are_those_of_finite_differences(sizes: list[int]) -> None:
    inputs, weight, mask, hidden, cell = given(sizes)

    def outputs(inputs: Tensor, weight: Tensor) -> Tensor:
        return lstm_recurrence(inputs, weight, mask, (hidden, cell), sizes)[0]

    assert torch.autograd.gradcheck(outputs, (inputs.requires_grad_(), weight.requires_grad_()))


@sizes_of_all_kinds
def test_without_a_mask_it_is_the_lstm_of_torch(sizes: list[int]) -> None:
    inputs, weight, mask, hidden, cell = given(sizes)
    torch_lstm = torch.nn.LSTM(4 * WIDTH, WIDTH).double()
    parameters = dict(torch_lstm.named_parameters())
    ours = [0, 1, 3, 2]  # torch has its gates in the order i, f, g, o
    with torch.no_grad():
        parameters["weight_ih_l0"].copy_(torch.eye(4 * WIDTH).double().view(4, WIDTH, -1)[ours].flatten(0, 1))
        parameters["weight_hh_l0"].copy_(weight.view(4, WIDTH, WIDTH)[ours].flatten(0, 1))
        parameters["bias_ih_l0"].zero_()
        parameters["bias_hh_l0"].zero_()
    packed = torch.nn.utils.rnn.PackedSequence(inputs, torch.tensor(sizes))
    expected, (last_hidden, last_cell) = torch_lstm(packed, (hidden[None], cell[None]))
    found, state = lstm_recurrence(inputs, weight, torch.ones_like(mask), (hidden, cell), sizes)
    torch.testing.assert_close(found, expected.data)
    torch.testing.assert_close(state, (last_hidden[0], last_cell[0]))


def test_what_comes_in_is_not_changed() -> None:
    sizes = SIZES["shrinking"]
    tensors = given(sizes)
    before = [tensor.clone() for tensor in tensors]
    inputs, weight, mask, hidden, cell = tensors
    found, state = lstm_recurrence(
        inputs.requires_grad_(), weight.requires_grad_(), mask, (hidden.requires_grad_(), cell), sizes
    )
    found.sum().backward()
    assert all(torch.equal(tensor, old) for tensor, old in zip(tensors, before, strict=True))
    assert not any(part.requires_grad for part in state), "the state of a window carries no gradient"
    assert hidden.grad is None


def test_products_stay_in_float32_under_autocast() -> None:
    sizes = SIZES["equal"]
    inputs, weight, mask, hidden, cell = given(sizes, torch.float32)
    plain = lstm_recurrence(inputs, weight, mask, (hidden, cell), sizes)[0]
    weight.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = lstm_recurrence(inputs, weight, mask, (hidden, cell), sizes)[0]
        found.sum().backward()
    assert torch.equal(found, plain)
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
