"""InfoNCE from its definition, in float64."""

from __future__ import annotations

import math

import pytest
import torch

from zoo.objectives import InfoNCE

Vectors = list[list[float]]


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def one_way(anchors: Vectors, others: Vectors, temperature: float) -> float:
    total = 0.0
    for i, anchor in enumerate(anchors):
        powers = [math.exp(cosine(anchor, other) / temperature) for other in others]
        total -= math.log(powers[i] / sum(powers))
    return total / len(anchors)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("temperature", [0.05, 0.7])
def test_equals_the_definition(bidirectional: bool, temperature: float) -> None:
    torch.manual_seed(0)
    queries, documents = torch.randn(2, 6, 5, dtype=torch.float64)
    criterion = InfoNCE(temperature, bidirectional=bidirectional).double()
    criterion.log_scale.data.fill_(-math.log(temperature))  # it was made in single precision
    loss, accuracy = criterion(queries, documents)
    q, d = queries.tolist(), documents.tolist()
    expected = one_way(q, d, temperature)
    if bidirectional:
        expected = (expected + one_way(d, q, temperature)) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-10)
    found = [max(range(6), key=lambda j, i=i: cosine(q[i], d[j])) == i for i in range(6)]  # type: ignore[misc]
    assert accuracy.item() == pytest.approx(sum(found) / 6)
