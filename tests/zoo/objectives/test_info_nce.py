from __future__ import annotations

import math

import pytest
import torch

from zoo.objectives import InfoNCE


def test_length_of_the_vectors_does_not_matter() -> None:
    queries, documents = torch.randn(2, 4, 8)
    loss, accuracy = InfoNCE()(queries, documents)
    scaled, _ = InfoNCE()(7 * queries, documents / 3)
    assert scaled.item() == pytest.approx(loss.item(), rel=1e-5)
    assert 0 <= accuracy.item() <= 1


def test_perfect_pairs() -> None:
    loss, accuracy = InfoNCE(0.01)(torch.eye(5), torch.eye(5))
    assert accuracy.item() == 1
    assert loss.item() < 1e-6


def test_directions_differ_unless_both_are_taken() -> None:
    queries, documents = torch.randn(2, 4, 8)
    forth, back = InfoNCE()(queries, documents)[0], InfoNCE()(documents, queries)[0]
    assert abs(forth.item() - back.item()) > 1e-4
    both = InfoNCE(bidirectional=True)(queries, documents)[0]
    assert both.item() == pytest.approx((forth.item() + back.item()) / 2, rel=1e-5)


def test_temperature_is_fixed_unless_learned() -> None:
    assert not any(p.requires_grad for p in InfoNCE().parameters())
    criterion = InfoNCE(0.1, learn_temperature=True)
    loss, _ = criterion(*torch.randn(2, 4, 8))
    loss.backward()
    (parameter,) = criterion.parameters()
    assert parameter.item() == pytest.approx(math.log(10))
    assert parameter.grad is not None
    assert parameter.grad.item() != 0


def test_learned_temperature_stays_above_a_hundredth() -> None:
    queries, documents = torch.randn(2, 4, 8)
    criterion = InfoNCE(0.01, learn_temperature=True)
    before = criterion(queries, documents)[0].item()
    criterion.log_scale.data += 5
    assert criterion(queries, documents)[0].item() == pytest.approx(before)


@pytest.mark.parametrize("temperature", [0.0, -1.0, 0.009, math.nan])
def test_refuses_a_temperature_out_of_range(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"at least 0\.01"):
        InfoNCE(temperature)
