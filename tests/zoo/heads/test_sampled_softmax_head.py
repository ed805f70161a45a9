from __future__ import annotations

from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from zoo.contracts import Vocabulary
from zoo.embeddings import TiedEmbedding
from zoo.heads import SampledSoftmaxHead, SoftmaxHead
from zoo.layers.chained_subspace_table import ChainedSubspaceTable
from zoo.layers.output_matrix import OutputMatrix
from zoo.optim import CenteredAdamW, CoupledAdamW
from zoo.optim.groups import by_role

V, D = 500, 8
SPECIAL = Vocabulary(V, 0, 1, 2, 3, 4)
COUNTS = torch.arange(V) ** 2


def make(num_samples: int = 40, **options: Any) -> SampledSoftmaxHead:
    torch.manual_seed(0)
    head = SampledSoftmaxHead(OutputMatrix(V, D, 0.5), num_samples, **options).double()
    head.use_vocabulary(SPECIAL, COUNTS)
    head.start_bias(COUNTS)
    return head


def inputs(rows: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, D, dtype=torch.float64, generator=generator), torch.arange(rows)


def test_evaluates_as_the_full_softmax() -> None:
    head, (hidden, targets) = make(), inputs()
    assert head.bias is not None
    torch.nn.init.normal_(head.bias)
    full = SoftmaxHead(head.table)
    full.bias = head.bias
    with torch.no_grad():
        assert torch.equal(head.log_probs(hidden, targets), full.log_probs(hidden, targets))
        assert torch.equal(head.topk(hidden, 5)[1], full.topk(hidden, 5)[1])
        draws = [h.sample(hidden, 0.7, torch.Generator().manual_seed(2)) for h in (head, full)]
        assert torch.equal(*draws)
        for loss in (head.loss(hidden, targets).loss, head.loss(hidden, targets).nll):
            assert torch.equal(loss, full.loss(hidden, targets).loss)
    first, second = head.loss(hidden, targets), head.loss(hidden, targets)
    assert first.loss != second.loss, "each call draws anew"
    assert torch.equal(first.loss.detach(), first.nll)


def test_a_step_reads_drawn_rows_and_targets_alone() -> None:
    asked = []

    class Watched(OutputMatrix):
        def weight(self) -> Tensor:
            raise AssertionError

        def cross_entropy(self, hidden: Tensor, targets: Tensor, bias: Tensor | None = None) -> Tensor:
            raise AssertionError

        def log_probs(self, hidden: Tensor, targets: Tensor, bias: Tensor | None = None) -> Tensor:
            raise AssertionError

        def rows(self, ids: Tensor) -> Tensor:
            asked.append(ids)
            return super().rows(ids)

    head, (hidden, targets) = SampledSoftmaxHead(Watched(V, D), 40), inputs()
    hidden = hidden.float().requires_grad_()
    head.loss(hidden, targets).loss.backward()
    assert [len(ids) for ids in asked] == [40 + len(targets)]
    gradient = head.table.get_parameter("matrix").grad
    assert gradient is not None
    touched = gradient.any(1).nonzero().squeeze(1)
    assert set(touched.tolist()) <= set(asked[0].tolist())


@pytest.mark.parametrize("samples", [1, 40])
def test_the_gradient_sums_to_zero_over_the_rows_at_each_draw(samples: int) -> None:
    head, (hidden, targets) = make(samples), inputs()
    head.loss(hidden, targets).loss.backward()
    assert head.bias is not None
    for parameter in (head.table.get_parameter("matrix"), head.bias):
        assert parameter.grad is not None
        assert float(parameter.grad.sum(0).norm()) < 1e-12 * float(parameter.grad.norm())
    assert head.zero_sum


@pytest.mark.parametrize("optimizer", [CoupledAdamW, CenteredAdamW])
def test_trains_with_optimizers_that_know_tables(optimizer: Any) -> None:
    head, (hidden, targets) = make(), inputs()
    with torch.no_grad():
        head.table.get_parameter("matrix").sub_(head.table.weight().mean(0))
        before = float(head.loss(hidden, targets).loss)
    steps = optimizer(by_role(head), lr=0.05)
    for _ in range(20):
        steps.zero_grad()
        head.loss(hidden, targets).loss.backward()
        steps.step()
    with torch.no_grad():
        assert float(head.loss(hidden, targets).loss) < before - 1
    assert float(head.table.weight().detach().mean(0).abs().max()) < 1e-12, "the mean row stays where it was"


def test_a_target_among_the_draws_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    head, (hidden, _) = make(1), inputs(1)
    monkeypatch.setattr(head, "draw", lambda: (torch.tensor([7]), torch.tensor([0.01], dtype=torch.float64)))
    result = head.loss(hidden.requires_grad_(), torch.tensor([7]))
    result.loss.backward()
    assert float(result.nll) == 0, "nothing is left to compare it with"
    assert hidden.grad is not None
    assert not hidden.grad.any()


@pytest.mark.parametrize(
    ("options", "chances"),
    [
        (
            {"distribution": "log_uniform"},
            ((COUNTS.flip(0) * 0 + torch.arange(V) + 2) / (torch.arange(V) + 1.0)).log().flip(0),
        ),
        ({"distribution": "unigram"}, (COUNTS + 1.0) ** 0.75),
        ({"distribution": "unigram", "power": 0.5}, (COUNTS + 1.0) ** 0.5),
        ({"distribution": "unigram", "power": 0.0}, torch.ones(V)),
        ({"distribution": "uniform"}, torch.ones(V)),
    ],
    ids=["log-uniform", "unigram", "root", "power-0", "uniform"],
)
def test_tokens_are_expected_by_the_chances_that_were_asked_for(options: dict[str, Any], chances: Tensor) -> None:
    """Token ids rise with frequency here; 3 draws, so that no token is certain."""
    drawn, expected = make(3, **options).draw()
    torch.testing.assert_close(expected, (3 * chances / chances.sum()).double()[drawn], rtol=1e-5, atol=0)


def test_frequencies_are_a_part_of_a_checkpoint() -> None:
    torch.manual_seed(0)
    trained, fresh = make(), SampledSoftmaxHead(OutputMatrix(V, D), 40).double()
    draws = [h.draw(torch.Generator().manual_seed(3)) for h in (trained, fresh)]
    assert not torch.equal(draws[0][0], draws[1][0])
    assert fresh.draw(torch.Generator().manual_seed(3))[0][0] == 0, "without frequencies in the order of the ids"
    fresh.load_state_dict(trained.state_dict())
    again = fresh.draw(torch.Generator().manual_seed(3))
    assert all(torch.equal(one, other) for one, other in zip(draws[0], again, strict=True))
    fresh.use_vocabulary(SPECIAL, COUNTS.flip(0))
    assert not torch.equal(fresh.draw(torch.Generator().manual_seed(3))[0], again[0])


def test_bias_starts_at_the_frequencies() -> None:
    head = make(start_at_frequencies=True)
    assert head.bias is not None
    torch.testing.assert_close(head.bias.exp() / head.bias.exp().sum(), (COUNTS + 1) / (COUNTS + 1.0).sum().double())


def test_half_precision_is_normalised_in_single() -> None:
    head, (hidden, targets) = make(V), inputs()
    with torch.no_grad():
        exact = head.loss(hidden, targets).loss
    single = head.float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = single.loss(hidden.bfloat16().requires_grad_(), targets).loss
    half = single.bfloat16().loss(hidden.bfloat16(), targets).loss
    for found in (mixed, half):
        assert found.dtype == torch.float32
        assert float(found.detach()) == pytest.approx(float(exact), rel=2e-2)


def test_a_seed_draws_the_same() -> None:
    head = make()
    torch.manual_seed(5)
    first = head.draw()[0]
    torch.manual_seed(5)
    assert torch.equal(first, head.draw()[0])


def test_refuses_what_it_cannot_do() -> None:
    table = OutputMatrix(V, D)
    with pytest.raises(ValueError, match="num_samples=0: a sampled softmax draws at least one token"):
        SampledSoftmaxHead(table, 0)
    with pytest.raises(ValueError, match=r"power must lie in \[0, 1\], not -1"):
        SampledSoftmaxHead(table, power=-1.0)
    # the checked signature sees it first, in tests
    with pytest.raises((ValueError, TypeCheckError), match=r"write log_uniform, unigram or uniform|Literal"):
        SampledSoftmaxHead(table, distribution="zipf")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="set bias: true"):
        SampledSoftmaxHead(table, bias=False, start_at_frequencies=True)
    with pytest.raises(ValueError, match="use SubspaceEmbedding, or SoftmaxHead"):
        SampledSoftmaxHead(ChainedSubspaceTable(V, D))
    with pytest.raises(ValueError, match="at least one target"):
        SampledSoftmaxHead(table).loss(torch.zeros(0, D), torch.zeros(0, dtype=torch.int64))


def test_shares_a_narrow_tied_table() -> None:
    """Rows behind a projection: equal to the full softmax once all are drawn."""
    torch.manual_seed(0)
    head = SampledSoftmaxHead(TiedEmbedding(V, D, 0.5, dim=3).output_table(), V).double()
    hidden, targets = inputs()
    with torch.no_grad():
        exact = head.loss(hidden, targets).loss
    assert float(head.loss(hidden, targets).loss.detach()) == pytest.approx(float(exact), rel=1e-12)
