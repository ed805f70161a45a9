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


def test_rows_are_scored_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, documents = torch.randn(7, 8, dtype=torch.float64), torch.randn(21, 8, dtype=torch.float64)
    found = []
    for scores in (2**22, 3 * 21):
        monkeypatch.setattr("zoo.objectives.info_nce._SCORES", scores)
        criterion = InfoNCE(0.1, True, True, 0.1).double()
        q, d = queries.clone().requires_grad_(), documents.clone().requires_grad_()
        loss, accuracy = criterion(q, d)
        loss.backward()
        found.append((loss, accuracy, q.grad, d.grad, criterion.log_scale.grad))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-12)


def test_scores_are_float32_under_autocast() -> None:
    queries, documents = torch.randn(2, 16, 32)
    expected = InfoNCE(0.02)(queries, documents)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert InfoNCE(0.02)(queries, documents)[0].item() == expected.item()


def test_a_false_negative_gets_no_gradient() -> None:
    queries = torch.eye(3)
    documents = torch.tensor([[1.0, 0.5, 0.0], [1.0, 0.1, 0.0], [0.0, 0.0, 1.0]], requires_grad=True)
    InfoNCE(0.1, false_negative_margin=0.05)(queries[:1], documents)[0].backward()
    assert documents.grad is not None
    assert documents.grad.any(1).tolist() == [True, False, True]
    accuracy = InfoNCE(0.1, false_negative_margin=0.05)(queries[:1], documents)[1]
    assert accuracy == 1, "it does not come first either"


@pytest.mark.parametrize("margin", [-0.1, 2.5, math.nan])
def test_refuses_a_margin_that_is_no_difference_of_cosines(margin: float) -> None:
    with pytest.raises(ValueError, match=r"difference of cosines in \[0, 2\]"):
        InfoNCE(false_negative_margin=margin)


@pytest.mark.parametrize("documents", [3, 6])
def test_refuses_documents_that_fit_no_queries(documents: int) -> None:
    with pytest.raises(ValueError, match=f"{documents} documents for 4 queries: give each query its document"):
        InfoNCE()(torch.randn(4, 2), torch.randn(documents, 2))
