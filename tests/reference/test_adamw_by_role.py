"""AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2) by role: gains and biases are not decayed."""

from __future__ import annotations

import math

import torch
from torch import nn

from zoo.optim.groups import by_role

LR, BETA1, BETA2, EPS, DECAY = 0.01, 0.9, 0.99, 1e-8, 0.3


def trajectory(start: float, gradients: list[float], decay: float) -> float:
    x, m, v = start, 0.0, 0.0
    for step, g in enumerate(gradients, start=1):
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g * g
        x -= LR * decay * x
        x -= LR * (m / (1 - BETA1**step)) / (math.sqrt(v / (1 - BETA2**step)) + EPS)
    return x


def test_equals_the_algorithm() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)).double()
    optimizer = torch.optim.AdamW(by_role(model), lr=LR, betas=(BETA1, BETA2), eps=EPS, weight_decay=DECAY)
    starts = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients = {name: torch.randn(5, *p.shape, dtype=torch.float64) for name, p in model.named_parameters()}
    for step in range(5):
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[name][step].clone()
        optimizer.step()
    for name, parameter in model.named_parameters():
        decay = DECAY if parameter.ndim == 2 else 0.0
        for place in range(parameter.numel()):
            gradient = [float(g) for g in gradients[name].flatten(1)[:, place]]
            expected = trajectory(float(starts[name].flatten()[place]), gradient, decay)
            assert abs(float(parameter.detach().flatten()[place]) - expected) < 1e-12, name
