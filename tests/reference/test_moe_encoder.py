"""The mixture of experts of the papers, token by token and expert by expert, in float64, with all gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.contracts import PackedBatch
from zoo.encoders import DenseEncoder, MoEEncoder
from zoo.encoders.moe_encoder import Mixture
from zoo.layers.feed_forward import GELU, FeedForward, GeGLU, SwiGLU
from zoo.layers.moe import GlobalBalance, LossFreeBalance, RunningBalance
from zoo.layers.moe.mixture_of_experts import MixtureOfExperts
from zoo.layers.moe.router import Gates, Routing

WIDTH, EXPERTS, TOKENS = 6, 4, 9
ACTIVATIONS: dict[type[FeedForward], str] = {GELU: "gelu", GeGLU: "geglu", SwiGLU: "swiglu"}
Weights = dict[str, Tensor]
Make = Callable[..., PackedBatch]


def activate(units: Tensor, kind: str) -> Tensor:
    half = len(units) // 2
    if kind == "gelu":
        return units * 0.5 * (1 + torch.erf(units / math.sqrt(2)))
    gate, value = units[:half], units[half:]
    slope = torch.sigmoid(gate) if kind == "swiglu" else 0.5 * (1 + torch.erf(gate / math.sqrt(2)))
    return gate * slope * value


def block(x: Tensor, weights: Weights, name: str, kind: str, number: int | None = None) -> Tensor:
    """One feed-forward block: expert `number`, or the shared one, whose biases are all its own."""

    def part(key: str) -> Tensor:
        found = weights.get(f"{name}{key}", torch.zeros(1).double())
        return found if number is None or f"{name}{key}" not in weights else found[number]

    hidden = activate(part("up.weight") @ x + part("up.bias"), kind)
    out = part("down.weight") @ hidden
    return out + part("down.bias") if number is None else out


def mixture(
    x: Tensor, weights: Weights, kind: str, top_k: int, gates: str, bias: list[float]
) -> tuple[Tensor, list[Tensor]]:
    """The new vector of a token and the probabilities of its experts."""
    exponentials = [torch.exp(row @ x) for row in weights["router.linear.weight"]]
    probabilities = [e / sum(exponentials) for e in exponentials]
    scores = [float(p.detach()) + b for p, b in zip(probabilities, bias, strict=True)]
    chosen = sorted(range(EXPERTS), key=lambda e: -scores[e])[:top_k]
    mass = torch.stack([probabilities[e] for e in chosen]).sum()
    divisor = {"raw": torch.ones(()), "normalised": mass, "straight_through": mass.detach()}[gates]
    out = weights.get("bias", torch.zeros(WIDTH).double())
    for expert in chosen:
        out = out + probabilities[expert] / divisor * block(x, weights, "", kind, expert)
    if "shared.up.weight" in weights:
        out = out + block(x, weights, "shared.", kind)
    return out, probabilities


CASES = [
    case
    for case in itertools.product(
        ACTIVATIONS, [1, 2, EXPERTS], ["raw", "normalised", "straight_through"], [False, True]
    )
    if case[1:3] != (1, "normalised")
]


@pytest.mark.parametrize(("kind", "top_k", "gates", "everything"), CASES)
def test_equals_the_equations(kind: type[FeedForward], top_k: int, gates: Gates, everything: bool) -> None:
    """`everything`: biases, a shared expert and a bias of the choice."""
    torch.manual_seed(top_k)

    def one(width: int) -> FeedForward:
        return kind(width, 5, everything)

    layer = MixtureOfExperts(WIDTH, one, EXPERTS, top_k, gates, one if everything else None).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    weights = {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}
    x = torch.randn(TOKENS, WIDTH, dtype=torch.float64, requires_grad=True)
    y, direction = x.detach().clone().requires_grad_(), torch.randn(TOKENS, WIDTH, dtype=torch.float64)
    bias = [0.3 * e for e in range(EXPERTS)] if everything else [0.0] * EXPERTS
    actual, routing = layer(x, torch.tensor(bias).double() if everything else None)
    expected = [mixture(token, weights, ACTIVATIONS[kind], top_k, gates, bias) for token in y]
    # gradients through outputs and probabilities
    ((actual * direction).sum() + routing.probabilities[:, 0].square().sum()).backward()
    outputs = torch.stack([out for out, _ in expected])
    ((outputs * direction).sum() + sum(p[0].square() for _, p in expected)).backward()
    assert float((actual - outputs).detach().abs().max()) < 1e-10
    pairs = {name: (p.grad, weights[name].grad) for name, p in layer.named_parameters()} | {"x": (x.grad, y.grad)}
    for name, (found, right) in pairs.items():
        assert found is not None
        assert right is not None
        assert float((found - right).abs().max()) < 1e-10, name


def routings_of(encoder: MoEEncoder) -> list[Routing]:
    """Filled by the next forward pass, layer by layer."""
    found: list[Routing] = []
    for layer in encoder.modules():
        if isinstance(layer, MixtureOfExperts):
            layer.router.register_forward_hook(lambda module, inputs, routing: found.append(routing))
    return found


BALANCES: list[tuple[Any, float, float]] = [(GlobalBalance, 0.06, 0.0), (RunningBalance, 0.06, 0.9)]


@pytest.mark.parametrize(("balance", "weight", "momentum"), BALANCES)
@pytest.mark.parametrize("top_k", [1, 2])
def test_losses_equal_the_equations(balance: Any, weight: float, momentum: float, top_k: int, make_batch: Make) -> None:
    torch.manual_seed(0)
    encoder = MoEEncoder(WIDTH, 2, 1, Mixture(EXPERTS, top_k, "all", balance=balance, z_weight=0.3)).double()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    layout, routers = (
        make_batch([4, 5]).layout(causal=False),
        [p for n, p in encoder.named_parameters() if "router" in n],
    )
    routings, past = routings_of(encoder), [[0.0] * EXPERTS for _ in range(2)]
    for step in range(3):
        routings.clear()
        output = encoder(torch.randn(TOKENS, WIDTH, dtype=torch.float64), layout)
        expected, squares = torch.zeros(()).double(), torch.zeros(()).double()
        for number, routing in enumerate(routings):
            counts = [float((routing.experts == e).sum()) for e in range(EXPERTS)]
            load = [c + momentum * p for c, p in zip(counts, past[number], strict=True)]
            past[number] = load
            for e in range(EXPERTS):
                mean = sum(torch.exp(row[e]) / torch.exp(row).sum() for row in routing.logits) / TOKENS
                expected = expected + weight * EXPERTS * load[e] / sum(load) * mean / 2
            squares = squares + 0.3 * sum(torch.log(torch.exp(row).sum()) ** 2 for row in routing.logits) / TOKENS / 2
        assert set(output.aux_losses) == {"balance", "router_z"}
        for found, right in ((output.aux_losses["balance"], expected), (output.aux_losses["router_z"], squares)):
            assert float((found - right).detach().abs()) < 1e-10
            pairs = zip(
                *(torch.autograd.grad(loss, routers, retain_graph=True) for loss in (found, right)), strict=True
            )
            assert all(float((a - b).abs().max()) < 1e-10 for a, b in pairs)
        encoder.before_step(step + 1)


def test_biases_without_a_loss_follow_the_algorithm(make_batch: Make) -> None:
    torch.manual_seed(0)
    encoder = MoEEncoder(WIDTH, 1, 1, Mixture(EXPERTS, 2, balance=LossFreeBalance)).double()
    routings, expected = routings_of(encoder), [0.0] * EXPERTS
    for step in range(5):
        routings.clear()
        counts = [0.0] * EXPERTS
        for _ in range(2):  # two batches of one step
            encoder.before_step(step)
            output = encoder(torch.randn(TOKENS, WIDTH, dtype=torch.float64), make_batch([TOKENS]).layout(causal=False))
            assert not output.aux_losses
        for row in torch.cat([routing.experts for routing in routings]).flatten().tolist():
            counts[row] += 1
        found = encoder.balance.selection_bias()
        assert found is not None
        assert found[0].tolist() == pytest.approx(expected)
        mean = sum(counts) / EXPERTS
        expected = [b + 1e-3 * ((c < mean) - (c > mean)) for b, c in zip(expected, counts, strict=True)]


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_equal_experts_with_gates_of_mass_one_are_the_dense_encoder(norm: Any, make_batch: Make) -> None:
    torch.manual_seed(0)

    def one(width: int) -> FeedForward:
        return GELU(width, 10, bias=True)

    dense = DenseEncoder(8, 2, 2, one, norm, bias=True).double()
    for parameter in dense.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x, layout = torch.randn(TOKENS, 8, dtype=torch.float64), make_batch([4, 5]).layout(causal=True)
    for gates, same in (("straight_through", True), ("normalised", True), ("raw", False)):
        mixture = Mixture(EXPERTS, 2, [1], one, gates=gates)  # type: ignore[arg-type]
        encoder = MoEEncoder(8, 2, 2, mixture, norm, bias=True).double()
        state = dict(encoder.state_dict()) | dense.state_dict()
        prefix = "layers.1.feed_forward."
        for name in ("up.weight", "up.bias", "down.weight"):
            state[prefix + name] = state[prefix + name].expand(EXPERTS, *state[prefix + name].shape)
        state[prefix + "bias"] = state.pop(prefix + "down.bias")
        encoder.load_state_dict(state)
        difference = (encoder(x, layout).hidden - dense(x, layout).hidden).abs().max()
        assert (float(difference.detach()) < 1e-10) == same, gates
