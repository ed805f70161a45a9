from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from zoo.heads import SoftmaxHead
from zoo.layers import linear_cross_entropy
from zoo.layers.output_matrix import OutputMatrix

ROWS, CLASSES, DIM = 300, 20, 6
Close = Callable[..., None]


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> SoftmaxHead:
    """In float64, with scores that differ, in several chunks of rows."""
    monkeypatch.setattr(linear_cross_entropy, "_CHUNK_ELEMENTS", 1)
    torch.manual_seed(0)
    head = SoftmaxHead(OutputMatrix(CLASSES, DIM, init_std=1.0)).double()
    assert head.bias is not None
    torch.nn.init.normal_(head.bias)
    return head


@pytest.fixture
def hidden() -> torch.Tensor:
    return torch.randn(ROWS, DIM, dtype=torch.float64)


def scores(head: SoftmaxHead, hidden: torch.Tensor) -> torch.Tensor:
    return F.linear(hidden, head.table.weight(), head.bias)


def test_training_and_evaluation_agree(head: SoftmaxHead, hidden: torch.Tensor, assert_close: Close) -> None:
    targets = torch.randint(CLASSES, (ROWS,))
    expected = F.cross_entropy(scores(head, hidden), targets)
    trained = head.loss(hidden, targets)
    with torch.no_grad():
        evaluated = head.loss(hidden, targets)
    for result in (trained, evaluated):
        assert_close(result.loss, expected)
        assert_close(result.nll, expected)
    assert trained.loss.requires_grad
    assert not trained.nll.requires_grad
    chosen = scores(head, hidden).log_softmax(-1)[torch.arange(ROWS), targets]
    assert_close(head.log_probs(hidden, targets), chosen)


def test_best_scores(head: SoftmaxHead, hidden: torch.Tensor, assert_close: Close) -> None:
    values, ids = head.topk(hidden, 3)
    expected = scores(head, hidden).sort(descending=True)
    assert torch.equal(ids, expected.indices[:, :3])
    assert_close(values, expected.values[:, :3])


def test_evaluation_in_half_precision_is_normalised_in_single(assert_close: Close) -> None:
    torch.manual_seed(0)
    head = SoftmaxHead(OutputMatrix(CLASSES, DIM, init_std=1.0)).bfloat16()
    hidden, targets = torch.randn(5, DIM).bfloat16(), torch.arange(5)
    got = head.log_probs(hidden, targets)
    assert got.dtype == torch.float32
    exact = (hidden.double() @ head.table.weight().double().T).log_softmax(-1)[torch.arange(5), targets]
    assert_close(got, exact, torch.bfloat16)


def test_no_target_is_an_error(head: SoftmaxHead) -> None:
    with pytest.raises(ValueError, match="at least one target"):
        head.loss(torch.zeros(0, DIM, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))


def test_bias_is_a_choice() -> None:
    assert [tuple(p.shape) for p in SoftmaxHead(OutputMatrix(5, 2), bias=False).parameters()] == [(5, 2)]


def test_bias_starts_at_the_frequencies() -> None:
    head = SoftmaxHead(OutputMatrix(4, DIM, init_std=0.0), start_at_frequencies=True)
    head.start_bias(torch.tensor([9, 19, 59, 9]))
    chances = head.log_probs(torch.zeros(4, DIM), torch.arange(4)).exp()
    torch.testing.assert_close(chances, torch.tensor([0.1, 0.2, 0.6, 0.1]))
    plain = SoftmaxHead(OutputMatrix(4, DIM))
    plain.start_bias(torch.tensor([9, 19, 59, 9]))
    assert plain.bias is not None
    assert not plain.bias.any()
    with pytest.raises(ValueError, match="set bias: true"):
        SoftmaxHead(OutputMatrix(4, DIM), bias=False, start_at_frequencies=True)
