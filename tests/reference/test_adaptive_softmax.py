"""Adaptive softmax from its definition and against torch's own, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.contracts import Vocabulary
from zoo.heads import AdaptiveSoftmaxHead
from zoo.layers.output_matrix import OutputMatrix

V, D, N = 60, 16, 40


def make(**options: Any) -> tuple[AdaptiveSoftmaxHead, Tensor]:
    """A head, and the token ids from the most to the least frequent."""
    torch.manual_seed(0)
    head = AdaptiveSoftmaxHead(OutputMatrix(V, D), **options).double()
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    order = torch.randperm(V)
    counts = torch.empty(V, dtype=torch.int64)
    counts[order] = torch.arange(V).flip(0) * 3
    head.use_vocabulary(Vocabulary(V, 0, 1, 2, 3, 4), counts)
    return head, order


OPTIONS: list[dict[str, Any]] = [
    {},
    {"bias": True, "cutoffs": [20]},
    {"cutoffs": [1, 2, 59], "div_value": 1.5},
    {"cutoffs": [10, 30], "div_value": 1.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_the_definition(options: dict[str, Any]) -> None:
    head, order = make(**options)
    hidden = torch.randn(5, D, dtype=torch.float64)
    with torch.no_grad():
        found = head.log_probs(hidden.repeat_interleave(V, 0), torch.arange(V).repeat(5)).view(5, V)
    edges = [*(options.get("cutoffs") or [V // 16, V // 4]), V]
    first, bias = head.softmax.head.weight.detach(), head.softmax.head.bias
    for h, row in zip(hidden, found, strict=True):
        scores = [float(w @ h) + (0 if bias is None else float(bias[i].detach())) for i, w in enumerate(first)]
        chances = torch.tensor(scores, dtype=torch.float64).softmax(0).tolist()
        expected = chances[: edges[0]]
        for number, cluster in enumerate(head.softmax.tail):
            narrow, rows = (next(part.parameters()).detach() for part in cluster.children())
            inside = torch.tensor([float(w @ (narrow @ h)) for w in rows], dtype=torch.float64).softmax(0)
            assert len(inside) == edges[number + 1] - edges[number]
            expected += [chances[edges[0] + number] * one for one in inside.tolist()]
        torch.testing.assert_close(row[order].exp(), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_the_layer_of_torch_with_gradients(options: dict[str, Any]) -> None:
    head, order = make(**options)
    ranks = order.argsort()
    hidden, targets = torch.randn(N, D, dtype=torch.float64, requires_grad=True), torch.randint(V, (N,))
    ours, theirs = head.loss(hidden, targets), head.softmax(hidden, ranks[targets])
    torch.testing.assert_close(ours.loss, theirs.loss, rtol=0, atol=1e-12)
    torch.testing.assert_close(head.log_probs(hidden, targets), theirs.output, rtol=0, atol=1e-12)
    leaves = [hidden, *head.parameters()]
    gradients = [torch.autograd.grad(loss, leaves, materialize_grads=True) for loss in (ours.loss, theirs.loss)]
    for mine, its in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-12)
    with torch.no_grad():
        values, ids = head.topk(hidden, 7)
        every = head.softmax.log_prob(hidden)
        best = every.topk(7)
        assert torch.equal(head.ranks(hidden, targets), 1 + (every > every.gather(1, ranks[targets][:, None])).sum(1))
    torch.testing.assert_close(values, best.values, rtol=0, atol=1e-12)
    assert torch.equal(ids, order[best.indices])
