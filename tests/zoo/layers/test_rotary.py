from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from zoo.contracts import PackedBatch
from zoo.layers.rotary import positions, rotate, rotation

HEAD_DIM, BASE = 8, 100.0
Make = Callable[..., PackedBatch]
Close = Callable[..., None]


def plain(x: Tensor, place: Tensor) -> Tensor:
    """The formula, pair by pair."""
    out = torch.empty_like(x)
    half = HEAD_DIM // 2
    for i in range(half):
        angle = place.to(x.dtype) * BASE ** (-2 * i / HEAD_DIM)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        out[..., i] = x[..., i] * cos - x[..., i + half] * sin
        out[..., i + half] = x[..., i + half] * cos + x[..., i] * sin
    return out


def test_positions_begin_anew_in_each_sequence(make_batch: Make) -> None:
    layout = make_batch([3, 1, 2]).layout(causal=False)
    assert positions(layout).tolist() == [0, 1, 2, 0, 0, 1]


def test_angles_are_exact_in_the_type_asked_for(make_batch: Make) -> None:
    layout = make_batch([2000]).layout(causal=False)
    cos, sin = rotation(layout, HEAD_DIM, BASE, torch.float64)
    angle = 1999 * BASE ** (-2 / HEAD_DIM)
    assert float(cos[1999, 1]) == pytest.approx(math.cos(angle), abs=1e-12)
    assert float(sin[1999, 1]) == pytest.approx(math.sin(angle), abs=1e-12)


def test_forward_and_backward_equal_the_plain_formula(make_batch: Make, assert_close: Close) -> None:
    layout = make_batch([5, 2]).layout(causal=False)
    angles = rotation(layout, HEAD_DIM, BASE, torch.float64)
    x = torch.randn(7, 3, HEAD_DIM, dtype=torch.float64, requires_grad=True)
    again = x.detach().clone().requires_grad_()
    direction = torch.randn(7, 3, HEAD_DIM, dtype=torch.float64)
    actual, expected = rotate(x, angles), plain(again, positions(layout))
    assert_close(actual, expected)
    (actual * direction).sum().backward()
    (expected * direction).sum().backward()
    assert x.grad is not None
    assert again.grad is not None
    assert_close(x.grad, again.grad)


def test_scores_depend_on_the_distance_only(make_batch: Make, assert_close: Close) -> None:
    layout = make_batch([12]).layout(causal=False)
    angles = rotation(layout, HEAD_DIM, BASE, torch.float64)
    query, key = torch.randn(2, 1, 1, HEAD_DIM, dtype=torch.float64).expand(2, 12, 1, HEAD_DIM)
    scores = rotate(query, angles)[:, 0] @ rotate(key, angles)[:, 0].T
    for distance in range(-11, 12):
        diagonal = scores.diagonal(distance)
        assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert not torch.allclose(scores[0, 0], scores[0, 1])


def test_first_token_of_a_sequence_stays_as_it_is(make_batch: Make) -> None:
    layout = make_batch([4, 3]).layout(causal=False)
    x = torch.randn(7, 2, HEAD_DIM)
    rotated = rotate(x, rotation(layout, HEAD_DIM, BASE))
    assert torch.equal(rotated[[0, 4]], x[[0, 4]])
    assert not torch.allclose(rotated[1], x[1])


def test_half_precision_rounds_only_once(make_batch: Make, assert_close: Close) -> None:
    layout = make_batch([300]).layout(causal=False)
    x = torch.randn(300, 2, HEAD_DIM, dtype=torch.bfloat16)
    assert_close(rotate(x, rotation(layout, HEAD_DIM, BASE)), plain(x.double(), positions(layout)), torch.bfloat16)
