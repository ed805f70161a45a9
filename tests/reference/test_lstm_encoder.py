"""The LSTM of the papers, step by step and sequence by sequence, in float64, with its masks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.contracts import PackedBatch
from zoo.encoders import LSTMEncoder

WIDTH, LAYERS = 6, 2
Weights = dict[str, Tensor]
Make = Callable[..., PackedBatch]


def build(dropout: float) -> LSTMEncoder:
    torch.manual_seed(0)
    return LSTMEncoder(WIDTH, LAYERS, dropout, init_range=0.7).double()


def one_sequence(xs: Tensor, weights: Weights, masks: Tensor, states: list[list[Tensor]]) -> Tensor:
    """Equations of Zaremba et al., section 3.1, with the masks of Gal and Ghahramani; `states` is moved on."""
    outputs = []
    for x in xs:
        below = masks[0] * x
        for number in range(LAYERS):
            name, (h, c) = f"layers.{number}", states[number]
            z = weights[f"{name}.input_weight"] @ below + weights[f"{name}.recurrent_weight"] @ (masks[number + 1] * h)
            i, f, o, g = (z + weights[f"{name}.bias"]).chunk(4)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states[number] = [h, c]
            below = masks[number + 1] * h
        outputs.append(below)
    return torch.stack(outputs)


def drawn(encoder: LSTMEncoder, lengths: list[int], seed: int) -> Tensor:
    """The masks that a forward pass after this seed draws, by sequence: (layers + 1, B, D)."""
    torch.manual_seed(seed)
    ones = torch.ones(LAYERS + 1, len(lengths), WIDTH, dtype=torch.float64)
    masks = F.dropout(ones, encoder.dropout, encoder.training)
    longest_first = torch.tensor(sorted(range(len(lengths)), key=lambda i: -lengths[i]))
    return torch.empty_like(masks).index_copy(1, longest_first, masks)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_equals_the_equations_over_windows(dropout: float, make_batch: Make) -> None:
    encoder = build(dropout)
    weights = {name: tensor.detach().clone().requires_grad_() for name, tensor in encoder.state_dict().items()}
    states = [[[torch.zeros(WIDTH).double()] * 2 for _ in range(LAYERS)] for _ in range(4)]
    for number, lengths in enumerate([[4, 4, 4, 4], [3, 5, 1, 5], [2, 1, 3, 1]]):
        x = torch.randn(sum(lengths), WIDTH, dtype=torch.float64).requires_grad_()
        y, direction = x.detach().clone().requires_grad_(), torch.randn(sum(lengths), WIDTH, dtype=torch.float64)
        batch = make_batch(lengths)
        layout = PackedBatch(batch.tokens, batch.cu_seqlens, batch.max_seqlen, continues=number > 0).layout(causal=True)
        masks = drawn(encoder, lengths, number)
        torch.manual_seed(number)
        actual = encoder(x, layout).hidden
        (actual * direction).sum().backward()
        parts = [one_sequence(part, weights, masks[:, i], states[i]) for i, part in enumerate(y.split(lengths))]
        (torch.cat(parts) * direction).sum().backward()
        assert float((actual - torch.cat(parts)).detach().abs().max()) < 1e-10
        pairs = [(x.grad, y.grad)] + [(p.grad, weights[name].grad) for name, p in encoder.named_parameters()]
        for found, expected in pairs:
            assert found is not None
            assert expected is not None
            assert float((found - expected).abs().max()) < 1e-10
        encoder.zero_grad()
        for tensor in weights.values():
            tensor.grad = None
        states = [[[part.detach() for part in layer] for layer in one] for one in states]
