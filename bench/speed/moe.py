"""A mixture of experts against the dense layer of equal active size: forward and backward of one layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from bench.speed.ratio import Timing, time_in_turn
from zoo.layers.feed_forward import GELU
from zoo.layers.moe.mixture_of_experts import MixtureOfExperts

DENSE, OURS, THEIRS = "dense, K F hidden units", "MixtureOfExperts", "transformers, grouped_mm"


@dataclass(frozen=True)
class Shape:
    """Sizes of a layer and its batch."""

    width: int = 384
    hidden: int = 1536
    experts: int = 8
    tokens: int = 4096

    def __str__(self) -> str:
        return f"H = {self.width}, F = {self.hidden}, E = {self.experts}, T = {self.tokens:,}"


def measure(
    top_k: int, precision: str, rounds: int = 5, device: str = "cpu", shape: Shape | None = None
) -> dict[str, Timing]:
    """Time the three with the same input, all without biases, GELU.

    Args:
        top_k: K.
        precision: `32-true` or `bf16-mixed`.
        rounds: counted rounds.
        device: such as `cpu` or `cuda`.
        shape: sizes.
    """
    shape = shape or Shape()
    torch.manual_seed(0)
    ours = MixtureOfExperts(shape.width, partial(GELU, dim=shape.hidden), shape.experts, top_k)
    layers: dict[str, nn.Module] = {
        DENSE: GELU(shape.width, top_k * shape.hidden),
        OURS: ours,
        THEIRS: TransformersExperts(ours),
    }
    x = torch.randn(shape.tokens, shape.width, device=device, requires_grad=True)
    direction = torch.randn(shape.tokens, shape.width, device=device)
    return time_in_turn({name: _step(one.to(device), x, direction, precision) for name, one in layers.items()}, rounds)


class TransformersExperts(nn.Module):
    """Experts of transformers, run by their own `grouped_mm` path behind the router of ours."""

    is_transposed, has_bias, has_gate, has_post_expert_norm, _is_expert_parallel = False, False, False, False, False

    def __init__(self, ours: MixtureOfExperts) -> None:
        super().__init__()
        self.router, self.num_experts, self.act_fn = ours.router, ours.num_experts, ours.activate
        self.up_proj = nn.Parameter(ours.up.weight.detach().clone())
        self.down_proj = nn.Parameter(ours.down.weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """The changed vectors."""
        from transformers.integrations.moe import grouped_mm_experts_forward

        routing = self.router(x, None)
        out: Tensor = grouped_mm_experts_forward(self, x, routing.experts, routing.gates)
        return out


def _step(layer: nn.Module, x: Tensor, direction: Tensor, precision: str) -> Callable[[], None]:
    device = x.device.type

    def run() -> None:
        x.grad = None
        layer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"):
            out = layer(x)
        update = out[0] if isinstance(out, tuple) else out
        update.backward(direction.to(update.dtype))
        if device != "cpu":
            torch.accelerator.synchronize()

    return run
