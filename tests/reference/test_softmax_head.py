"""Softmax cross-entropy from its definition, in float64."""

from __future__ import annotations

import math

import torch

from zoo.heads import SoftmaxHead
from zoo.layers.output_matrix import OutputMatrix


def test_equals_the_definition() -> None:
    torch.manual_seed(0)
    head = SoftmaxHead(OutputMatrix(7, 4, init_std=1.0)).double()
    assert head.bias is not None
    torch.nn.init.normal_(head.bias)
    hidden, targets = torch.randn(5, 4, dtype=torch.float64), [6, 0, 3, 3, 1]
    table, bias = head.table.weight().tolist(), head.bias.tolist()
    expected = []
    for h, target in zip(hidden.tolist(), targets, strict=True):
        powers = [
            math.exp(sum(w * x for w, x in zip(row, h, strict=True)) + b) for row, b in zip(table, bias, strict=True)
        ]
        expected.append(math.log(powers[target] / sum(powers)))
    log_probs = head.log_probs(hidden, torch.tensor(targets)).tolist()
    assert max(abs(a - e) for a, e in zip(log_probs, expected, strict=True)) < 1e-10
    loss = head.loss(hidden, torch.tensor(targets)).loss
    assert abs(loss.item() + sum(expected) / 5) < 1e-10
