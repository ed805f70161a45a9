"""The transformer of the papers, number by number, in float64: loops over sequences, heads and positions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import pytest
import torch
from torch import Tensor

from zoo.contracts import PackedBatch
from zoo.encoders.dense_encoder import DenseEncoder, Norm
from zoo.layers.feed_forward import GELU, FeedForward, GeGLU, SwiGLU
from zoo.layers.learned_positions import LearnedPositions
from zoo.layers.positions import Positions
from zoo.layers.rotary_positions import RotaryPositions

WIDTH, HEADS, LAYERS, BASE, EPS = 16, 2, 2, 50.0, 1e-3
HEAD_DIM = WIDTH // HEADS
LENGTHS = [4, 1, 4, 6]
ACTIVATIONS: dict[type[FeedForward], str] = {GELU: "gelu", GeGLU: "geglu", SwiGLU: "swiglu"}
Weights = dict[str, Tensor]


def layer_norm(x: Tensor, weights: Weights, name: str) -> Tensor:
    centred = x - x.mean()
    normal = centred / (centred.square().mean() + EPS).sqrt() * weights[f"{name}.weight"]
    return normal + weights.get(f"{name}.bias", torch.zeros(1).double())


def linear(x: Tensor, weights: Weights, name: str) -> Tensor:
    bias = weights.get(f"{name}.bias", torch.zeros(1).double())
    return torch.stack([row @ x for row in weights[f"{name}.weight"]]) + bias


def rotated(vector: Tensor, position: int, weights: Weights) -> Tensor:
    if "positions.weight" in weights:
        return vector
    out = vector.clone()
    half = HEAD_DIM // 2
    for i in range(half):
        angle = position * BASE ** (-2 * i / HEAD_DIM)
        a, b = vector[i], vector[i + half]
        out[i] = a * math.cos(angle) - b * math.sin(angle)
        out[i + half] = b * math.cos(angle) + a * math.sin(angle)
    return out


def attention(xs: list[Tensor], weights: Weights, name: str, causal: bool) -> list[Tensor]:
    """Attention in one sequence."""
    projected = [linear(x, weights, f"{name}.qkv") for x in xs]
    outs = []
    for i, here in enumerate(projected):
        heads = []
        for h in range(HEADS):
            part = slice(h * HEAD_DIM, (h + 1) * HEAD_DIM)
            query = rotated(here[:WIDTH][part], i, weights)
            seen = range(i + 1) if causal else range(len(xs))
            keys = [rotated(projected[j][WIDTH : 2 * WIDTH][part], j, weights) for j in seen]
            powers = [math.exp(float(query @ key) / math.sqrt(HEAD_DIM)) for key in keys]
            values = [projected[j][2 * WIDTH :][part] for j in seen]
            mixed = sum((p / sum(powers) * v for p, v in zip(powers, values, strict=True)), torch.zeros(1).double())
            heads.append(mixed)
        outs.append(linear(torch.cat(heads), weights, f"{name}.out"))
    return outs


def gelu(x: float) -> float:
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


def silu(x: float) -> float:
    return x / (1 + math.exp(-x))


def feed_forward(x: Tensor, weights: Weights, name: str, kind: str) -> Tensor:
    up = linear(x, weights, f"{name}.up").tolist()
    if kind == "gelu":
        hidden = [gelu(u) for u in up]
    else:
        activate = gelu if kind == "geglu" else silu
        half = len(up) // 2
        hidden = [activate(g) * u for g, u in zip(up[:half], up[half:], strict=True)]
    return linear(torch.tensor(hidden, dtype=torch.float64), weights, f"{name}.down")


def encode(xs: list[Tensor], weights: Weights, norm: str, kind: str, causal: bool) -> list[Tensor]:
    """One sequence through all blocks."""
    if "positions.weight" in weights:
        xs = [x + weights["positions.weight"][i] for i, x in enumerate(xs)]
    xs = [layer_norm(x, weights, "input_norm") for x in xs]
    for number in range(LAYERS):
        name = f"layers.{number}"
        first, second = f"{name}.attention_norm", f"{name}.feed_forward_norm"
        if norm == "pre":
            mixed = attention([layer_norm(x, weights, first) for x in xs], weights, f"{name}.attention", causal)
            xs = [x + m for x, m in zip(xs, mixed, strict=True)]
            xs = [x + feed_forward(layer_norm(x, weights, second), weights, f"{name}.feed_forward", kind) for x in xs]
        else:
            mixed = attention(xs, weights, f"{name}.attention", causal)
            xs = [layer_norm(x + m, weights, first) for x, m in zip(xs, mixed, strict=True)]
            xs = [layer_norm(x + feed_forward(x, weights, f"{name}.feed_forward", kind), weights, second) for x in xs]
    return xs if norm == "post" else [layer_norm(x, weights, "output_norm") for x in xs]


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("kind", [GELU, GeGLU, SwiGLU])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "positions", [partial(RotaryPositions, base=BASE), LearnedPositions], ids=["rotary", "learned"]
)
def test_equals_the_equations(
    norm: Literal["pre", "post"],
    kind: Callable[[int], FeedForward],
    causal: bool,
    bias: bool,
    positions: Callable[[int, int], Positions],
    make_batch: Callable[..., PackedBatch],
) -> None:
    torch.manual_seed(0)
    encoder = DenseEncoder(WIDTH, LAYERS, HEADS, kind, Norm(norm, EPS), positions, bias=bias).double()
    for parameter in encoder.parameters():  # the initial gains, biases and small weights would hide mistakes
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(sum(LENGTHS), WIDTH, dtype=torch.float64)
    actual = encoder(x, make_batch(LENGTHS).layout(causal=causal)).hidden.detach()
    weights = {name: tensor.detach() for name, tensor in encoder.state_dict().items()}
    name = ACTIVATIONS[kind]  # type: ignore[index]
    expected = [v for part in x.split(LENGTHS) for v in encode(list(part), weights, norm, name, causal)]
    assert float((actual - torch.stack(expected)).abs().max()) < 1e-10
