"""The head in training, against a dense one whose W is a parameter, and its evaluation."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bench.glue.zoo_body import ZooBody
from zoo.checkpoint import describe
from zoo.contracts import HeadLoss, OutputHead, OutputTable, PackedBatch, SelfUpdating
from zoo.donor import Donor, take_over
from zoo.embeddings import FullEmbedding, TiedEmbedding
from zoo.encoders import DenseEncoder
from zoo.heads import SoftmaxHead, SparseTargetHead
from zoo.heads.factored_table import FactoredTable
from zoo.heads.sparse_target import (
    FactoredMatrix,
    Outputs,
    SphericalLoss,
    SphericalSoftmax,
    SphericalZLoss,
    SquaredError,
    TaylorSoftmax,
)
from zoo.layers.output_matrix import OutputMatrix
from zoo.layers.subspace_table import SubspaceTable
from zoo.objectives import CausalLM
from zoo.optim import CoupledAdamW
from zoo.optim.groups import by_role

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*treespec:FutureWarning",
    "ignore:.*does not have many workers",
    "ignore:.*WeightAveraging callback:UserWarning",
)

LOSSES: dict[str, Callable[[], SphericalLoss]] = {
    "squared": SquaredError,
    "spherical": SphericalSoftmax,
    "taylor": TaylorSoftmax,
    "z": SphericalZLoss,
}
RATE = 0.05


class DenseHead(SoftmaxHead):
    """The same losses through all V outputs, by autograd."""

    def __init__(self, table: OutputTable, spherical_loss: SphericalLoss) -> None:
        super().__init__(table)
        self.spherical_loss = spherical_loss

    def loss(self, hidden: Tensor, targets: Tensor) -> HeadLoss:
        assert self.bias is not None
        o = hidden @ self.table.weight().T + self.bias
        picked = o.gather(1, targets[:, None])
        outputs = Outputs(o.square().sum(-1), o.sum(-1), picked, o.shape[1])
        loss = self.spherical_loss.partials(outputs, torch.ones_like(picked)).value.mean()
        return HeadLoss(loss, loss.detach())


def objective(
    tokenizer: Tokenizer, head: Callable[[OutputTable], OutputHead], embedding: Any = FullEmbedding
) -> CausalLM:
    torch.manual_seed(0)
    made = CausalLM(
        width=16,
        embedding=partial(embedding, init_std=0.3),
        encoder=partial(DenseEncoder, num_layers=1, num_heads=2),
        head=head,
        optimizer=partial(torch.optim.SGD, lr=RATE),
        schedule=lambda optimizer, _: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    )
    made.build(tokenizer, 32)
    return made


def loader(batches: list[PackedBatch]) -> DataLoader[PackedBatch]:
    return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]


def fit(model: CausalLM, batches: list[PackedBatch], folder: Path, **settings: Any) -> pl.Trainer:
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "limit_val_batches": 0,
    }
    trainer = pl.Trainer(
        **quiet,
        **{"enable_checkpointing": False, "max_steps": 6, **settings},
        accelerator="cpu",
        default_root_dir=folder,
        use_distributed_sampler=False,
    )
    trainer.fit(model, loader(batches), loader(batches[:1]))
    return trainer


@pytest.mark.parametrize("embedding", [FullEmbedding, TiedEmbedding])
@pytest.mark.parametrize("loss", LOSSES)
def test_training_is_that_of_a_dense_head(
    loss: str, embedding: Any, tokenizer: Tokenizer, make_batch: Callable[..., PackedBatch], tmp_path: Path
) -> None:
    """With accumulation, clipping by the global norm and a schedule."""
    batches = [make_batch([5, 9, 3], seed=seed) for seed in range(12)]
    settings = {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5}
    factored = objective(tokenizer, partial(SparseTargetHead, loss=LOSSES[loss], lr=RATE, centre=False), embedding)
    dense = objective(tokenizer, partial(DenseHead, spherical_loss=LOSSES[loss]()), embedding)
    factored.double()
    table = factored.head.table
    assert isinstance(table, FactoredTable)
    assert isinstance(dense.head, DenseHead)
    table.take_rows(dense.head.table.weight().detach())  # a regression starts at 0, and sums of float32 were rounded
    assert dense.head.bias is not None
    for model in (factored, dense.double()):
        fit(model, batches, tmp_path, **settings)
    whole = table.matrix.dense()
    torch.testing.assert_close(whole[:, :16], dense.head.table.weight().detach(), rtol=0, atol=1e-10)
    torch.testing.assert_close(whole[:, 16], dense.head.bias.detach(), rtol=0, atol=1e-10)
    others = dict(factored.named_parameters())
    for name, parameter in dense.named_parameters():
        if name in others:
            torch.testing.assert_close(others[name], parameter, rtol=0, atol=1e-10)
    if embedding is TiedEmbedding:
        assert factored.embedding.output_table() is table
        assert not list(factored.embedding.parameters())
        assert factored.embedding.num_parameters == 65 * 17


def head_of(loss: Callable[[], SphericalLoss] = SphericalZLoss, **options: Any) -> SparseTargetHead:
    torch.manual_seed(0)
    return SparseTargetHead(OutputMatrix(40, 6, 1.0), loss, lr=0.1, **options)


def assert_unchanged(head: SparseTargetHead, before: dict[str, Tensor]) -> None:
    after = head.state_dict()
    assert not [name for name in before if not torch.equal(after[name].nan_to_num(), before[name].nan_to_num())]


def table_of(head: OutputHead) -> FactoredTable:
    assert isinstance(head.table, FactoredTable)
    return head.table


def scores_of(head: SparseTargetHead, hidden: Tensor) -> Tensor:
    dense = table_of(head).matrix.dense()
    return hidden @ dense[:, :6].T + dense[:, 6]


@pytest.mark.parametrize("loss", LOSSES)
def test_evaluation_ranks_as_the_loss_does_and_changes_nothing(loss: str) -> None:
    head = head_of(LOSSES[loss])
    hidden, targets = torch.randn(9, 6), torch.randint(40, (9,))
    if head.needs_calibration:
        with pytest.raises(ValueError, match="were never calibrated: run a validation"):
            head.log_probs(hidden, targets)
        head.calibrate(hidden, targets)
    before = copy.deepcopy(head.state_dict())
    with torch.no_grad():
        value = head.loss(hidden, targets)
        values, ids = head.topk(hidden, 5)
        log_probs = head.log_probs(hidden, targets)
    ranked = head.spherical_loss.ranking(scores_of(head, hidden))
    expected = ranked.topk(5)
    torch.testing.assert_close(values, expected.values)
    assert torch.equal(ids, expected.indices)
    assert torch.equal(head.ranks(hidden, targets), 1 + (ranked > ranked.gather(1, targets[:, None])).sum(1))
    everything = torch.stack([head.log_probs(hidden, torch.full((9,), c)) for c in range(40)])
    torch.testing.assert_close(everything.logsumexp(0), torch.zeros(9), rtol=0, atol=1e-5)
    torch.testing.assert_close(everything[targets, torch.arange(9)], log_probs)
    if head.spherical_loss.is_probability:
        torch.testing.assert_close(-log_probs.mean(), value.nll)
        assert not head.needs_calibration
    assert_unchanged(head, before)
    table_of(head).apply_gradient(1.0)  # nothing waits
    assert_unchanged(head, before)


def test_calibration_finds_the_sharpness_of_the_best_likelihood() -> None:
    head = head_of()
    hidden = torch.randn(400, 6)
    z = scores_of(head, hidden)
    z = (z - z.mean(-1, keepdim=True)) / z.std(-1, correction=0, keepdim=True)
    targets = (2.5 * z).softmax(-1).multinomial(1).squeeze(1)
    assert head.needs_calibration
    head.calibrate(hidden, targets)
    assert float(head.sharpness) == pytest.approx(2.5, rel=0.15)
    best = -float(head.log_probs(hidden, targets).mean())
    for other in (0.8, 1.25):
        worse = copy.deepcopy(head)
        worse.sharpness *= other
        assert -float(worse.log_probs(hidden, targets).mean()) > best


def bounded(loss: Callable[[], SphericalLoss], tied: bool, bias: bool) -> SparseTargetHead:
    """A head with random rows and, if any, random biases."""
    torch.manual_seed(0)
    table = SubspaceTable(40, 6, 0.5) if tied else OutputMatrix(40, 6, 0.5)
    head = SparseTargetHead(table, loss, bias=bias).double()
    if bias and tied:
        nn.init.normal_(dict(head.named_parameters())["table.bias"])
    elif bias:
        table_of(head).matrix.assign(torch.randn(40, 7).double())
    return head


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("loss", [SphericalSoftmax, TaylorSoftmax])
def test_no_hidden_vector_makes_a_class_likelier_than_its_bound(
    loss: Callable[[], SphericalLoss], tied: bool, bias: bool
) -> None:
    head = bounded(loss, tied, bias)
    hidden, least = torch.randn(300, 6, dtype=torch.float64) * 10, head.least_nats()
    for c in range(40):
        assert bool((-head.log_probs(hidden, torch.full((300,), c)) >= least[c] - 1e-9).all())
    assert float(least.neg().exp().sum()) <= 7 + 1, "leverages sum to D + 1, and each bound is one or 1 / V"


@pytest.mark.parametrize("tied", [False, True])
def test_a_class_can_be_as_likely_as_its_bound(tied: bool) -> None:
    """Where the constant that keeps a probability from 0 hardly counts."""
    head = bounded(partial(SphericalSoftmax, 1e-9), tied, bias=True)
    at_axes, at_zero = (
        torch.cat([block for _, block in head.table.score_blocks(points)], 1).T
        for points in (torch.eye(6).double(), torch.zeros(1, 6).double())
    )
    x = torch.cat([at_axes - at_zero, at_zero], 1)  # W and b
    best = torch.linalg.solve(x.T @ x, x.T)
    reached = -head.log_probs((best[:6] / best[6]).T, torch.arange(40))
    torch.testing.assert_close(reached, head.least_nats(), rtol=1e-5, atol=1e-6)


def test_leverage_says_nothing_about_other_losses() -> None:
    with pytest.raises(ValueError, match="no likelihood of SphericalZLoss: it does that of SphericalSoftmax and"):
        head_of().least_nats()


@pytest.mark.parametrize("loss", ["z", "taylor"])
def test_samples_follow_the_probabilities(loss: str) -> None:
    head = head_of(LOSSES[loss])
    hidden = torch.randn(1, 6)
    head.sharpness.fill_(1.5)
    chances = torch.stack([head.log_probs(hidden, torch.tensor([c])) for c in range(40)]).squeeze(1).double().exp()
    drawn = head.sample(hidden.expand(20_000, 6), generator=torch.Generator().manual_seed(1)).bincount(minlength=40)
    expected = chances * 20_000
    chi_square = float(((drawn - expected) ** 2 / expected)[expected > 5].sum())
    assert chi_square < 39 + 5 * math.sqrt(2 * 39)
    cold = head.sample(hidden.expand(50, 6), temperature=0.001, generator=torch.Generator().manual_seed(1))
    assert set(cold.tolist()) == {int(chances.argmax())}


def test_weights_of_classes_weigh_their_losses() -> None:
    head = head_of()
    hidden, targets = torch.randn(4, 6), torch.randint(40, (4, 2))
    with torch.no_grad():
        both = head.sparse_loss(hidden, targets, torch.tensor([[0.25, 0.75]]).expand(4, 2)).loss
        one, two = (head.loss(hidden, targets[:, k]).loss for k in (0, 1))
    torch.testing.assert_close(both, 0.25 * one + 0.75 * two)


@pytest.mark.parametrize("loss", LOSSES)
def test_values_of_a_class_that_stands_twice_in_a_row_are_added_up(loss: str) -> None:
    torch.manual_seed(0)
    targets, values = torch.randint(6, (7, 9)), torch.rand(7, 9)
    wanted = torch.zeros(7, 40).scatter_add(1, targets, values)
    classes = torch.arange(6).expand(7, 6)
    hidden = torch.randn(7, 6)
    twice, once = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    found, expected = head_of(LOSSES[loss]), head_of(LOSSES[loss])
    if loss == "squared":
        direct = (scores_of(found, hidden) - wanted).square().sum(-1).mean()
        torch.testing.assert_close(found.sparse_loss(hidden, targets, values).loss, direct, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        evaluated = found.sparse_loss(hidden, targets, values).loss
    left = found.sparse_loss(twice, targets, values).loss
    right = expected.sparse_loss(once, classes, wanted[:, :6]).loss
    (left + right).backward()
    torch.testing.assert_close(left, right)
    torch.testing.assert_close(evaluated, right.detach())
    torch.testing.assert_close(twice.grad, once.grad)
    for head in (found, expected):
        table_of(head).apply_gradient(0.01)
    torch.testing.assert_close(table_of(found).matrix.dense(), table_of(expected).matrix.dense())


def test_a_vocabulary_that_is_too_small_to_gain_anything_is_named() -> None:
    slow = r"V = 40 is below 3 D = 42: a factored table is slower than a dense layer there; use SoftmaxHead, or a"
    with pytest.warns(UserWarning, match=slow) as told:
        SparseTargetHead(OutputMatrix(40, 14))
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SparseTargetHead(OutputMatrix(42, 14))
        SparseTargetHead(SubspaceTable(40, 14))  # has no factors


def test_a_gradient_that_is_no_number_is_left_out() -> None:
    head = head_of()
    before = copy.deepcopy(head.state_dict())
    loss = head.loss(torch.randn(3, 6, requires_grad=True), torch.arange(3)).loss
    (loss * float("nan")).backward()
    with pytest.warns(UserWarning, match="the gradient of the output table is not finite: its step is left out"):
        table_of(head).apply_gradient(0.1)
    assert_unchanged(head, before)


def test_the_precision_of_the_rest_does_not_matter() -> None:
    states = []
    for enabled in (False, True):
        head = head_of()
        hidden = torch.randn(5, 6, generator=torch.Generator().manual_seed(3)).bfloat16().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            head.loss(hidden, torch.arange(5)).loss.backward()
        assert hidden.grad is not None
        table_of(head).apply_gradient(0.1)
        states.append(head.state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items() if name != "sharpness")


def test_ill_conditioned_steps_are_repaired_in_time() -> None:
    """Squared error shrinks U by a constant factor a step: without a repair it would be singular within 100 steps."""
    torch.manual_seed(0)
    head = SparseTargetHead(OutputMatrix(800, 48, 0.1), SquaredError, lr=0.05, bias=False)
    for _ in range(300):
        head.loss(torch.randn(16, 48), torch.randint(800, (16,))).loss.backward()
        table_of(head).apply_gradient(0.05)
    assert torch.linalg.cond(table_of(head).matrix.mixing) < 10
    assert float(table_of(head).matrix.health) < 1e-4
    assert torch.isfinite(table_of(head).matrix.dense()).all()


def test_what_waits_is_forgotten_with_the_other_gradients(tokenizer: Tokenizer) -> None:
    model = objective(tokenizer, SparseTargetHead)
    table = model.head.table
    assert isinstance(table, FactoredTable)
    optimizer = torch.optim.SGD(by_role(model))
    model.head.loss(torch.randn(3, 16), torch.arange(3)).loss.backward()
    assert table.gradient_norm() > 0
    copied = copy.deepcopy(model)
    pickle.dumps(copied.head)
    model.optimizer_zero_grad(0, 0, optimizer)
    assert table.gradient_norm() == 0


def test_nothing_is_decomposed_where_nothing_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also under weight decay, which lowers all singular values alike."""
    torch.manual_seed(0)
    head = SparseTargetHead(OutputMatrix(400, 16, 0.1), bias=False, lr=1.0, weight_decay=0.01)
    moved: list[int] = []
    stabilise = FactoredMatrix.stabilise
    monkeypatch.setattr(FactoredMatrix, "stabilise", lambda self: moved.append(stabilise(self)))
    for _ in range(300):
        head.loss(torch.randn(16, 16), torch.randint(400, (16,))).loss.backward()
        table_of(head).apply_gradient(1.0)
    assert float(table_of(head).matrix.mixing.norm()) < 1
    assert len(moved) < 30
    assert all(moved)


def test_strategies_and_averages_that_would_tear_it_apart_are_refused(
    tokenizer: Tokenizer, make_batch: Callable[..., PackedBatch], tmp_path: Path
) -> None:
    model = objective(tokenizer, SparseTargetHead)
    with pytest.raises(ValueError, match="whose mean is not the mean of tables"):
        fit(model, [make_batch([5, 9, 3])], tmp_path, callbacks=[EMAWeightAveraging()])
    model.trainer = SimpleNamespace(strategy=object())  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"set trainer\.strategy to auto or ddp"):
        model.on_fit_start()


def test_groups_and_schedules_see_its_learning_rate(tokenizer: Tokenizer) -> None:
    model = objective(tokenizer, partial(SparseTargetHead, lr=7.0))
    (own,) = [group for group in by_role(model) if group["role"] == "own"]
    assert own == {"role": "own", "params": [], "lr": 7.0}
    with pytest.raises(ValueError, match="finds no table; the model has input tables only: set couple: input"):
        CoupledAdamW(by_role(model))
    assert all(isinstance(p, nn.Parameter) for group in by_role(model) for p in group["params"])


def test_what_has_no_meaning_is_refused(tokenizer: Tokenizer) -> None:
    table = OutputMatrix(40, 6)
    with pytest.raises(ValueError, match=r"update=Adam: Adam has a denominator for each number of W.*use coupled"):
        SparseTargetHead(table, update="Adam")
    with pytest.raises(ValueError, match="update=rmsprop: there are sgd, coupled and kronecker"):
        SparseTargetHead(table, update="rmsprop")
    with pytest.raises(ValueError, match=r"stepped by the optimizer of the model: leave head\.update, head\.lr and"):
        SparseTargetHead(SubspaceTable(40, 6), lr=1.0)
    with pytest.raises(ValueError, match=r"lr=0\.0 must be above 0"):
        SparseTargetHead(table, lr=0.0)
    with pytest.raises(ValueError, match="cannot score with a ProjectedTable: use FullEmbedding"):
        objective(tokenizer, SparseTargetHead, partial(TiedEmbedding, dim=4))
    model = objective(tokenizer, SparseTargetHead)
    model.trainer = SimpleNamespace(precision="16-mixed")  # type: ignore[assignment]
    with pytest.raises(ValueError, match="precision 16-mixed scales losses, which a table that steps itself"):
        model.configure_optimizers()
    head = head_of()
    with pytest.raises(ValueError, match="at least one target"):
        head.loss(torch.randn(0, 6), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"targets lie in \[0, 40\], and there are 40 classes"):
        head.loss(torch.randn(2, 6), torch.tensor([0, 40]))
    with pytest.raises(ValueError, match=r"set trainer\.precision bf16-mixed"):
        head.bfloat16().loss(torch.randn(1, 6).bfloat16(), torch.tensor([0]))
    with pytest.raises(ValueError, match="trained by spherical losses only"):
        head_of().table.cross_entropy(torch.randn(1, 6), torch.tensor([0]))
    with pytest.raises(ValueError, match="shares no table with a head"):
        FullEmbedding(40, 6).use_output_table(table)


def test_tables_are_taken_over_in_both_directions(tokenizer: Tokenizer) -> None:
    factored = objective(tokenizer, SparseTargetHead, TiedEmbedding)
    full = objective(tokenizer, SoftmaxHead, TiedEmbedding)
    table = factored.head.table
    assert isinstance(table, FactoredTable)
    factored.head.loss(torch.randn(9, 16), torch.arange(9)).loss.backward()
    table.apply_gradient(0.5)
    rows = table.weight()
    donor = Donor("factored", "hash", tokenizer.to_str(), factored.state_dict())
    torch.testing.assert_close(donor.full_table(), rows)
    found = take_over({"embedding": full.embedding, "encoder": full.encoder}, full.vocabulary, donor)
    assert "embedding" in found.taken
    torch.testing.assert_close(full.head.table.weight(), rows)
    other = objective(tokenizer, SparseTargetHead, TiedEmbedding)
    with torch.no_grad():
        full.head.table.weight().mul_(2)
    donor = Donor("full", "hash", tokenizer.to_str(), full.state_dict())
    found = take_over({"embedding": other.embedding, "encoder": other.encoder}, other.vocabulary, donor)
    assert "embedding" in found.taken
    taken = other.head.table
    assert isinstance(taken, FactoredTable)
    torch.testing.assert_close(taken.weight(), 2 * rows)
    torch.testing.assert_close(taken.matrix.gram, taken.matrix.dense().T @ taken.matrix.dense())


@pytest.mark.parametrize("embedding", [FullEmbedding, TiedEmbedding])
def test_its_numbers_are_counted(embedding: Any, tokenizer: Tokenizer) -> None:
    """As many as those of a softmax with a bias."""
    factored, dense = (describe(objective(tokenizer, head, embedding)) for head in (SparseTargetHead, SoftmaxHead))
    assert factored["parameters"]["total"] == dense["parameters"]["total"]
    assert factored["bytes"] > dense["bytes"]


def test_fine_tuning_trains_the_table_with_the_rest(
    tokenizer: Tokenizer, make_batch: Callable[..., PackedBatch]
) -> None:
    factored = objective(tokenizer, SparseTargetHead, TiedEmbedding)
    table = factored.head.table
    assert isinstance(table, FactoredTable)
    network = ZooBody(factored).network()
    batch = make_batch([4, 3])
    features = network(batch.tokens, batch.cu_seqlens, batch.max_seqlen)
    features[0].square().sum().backward()
    assert (65, 16) in {tuple(p.shape) for p in network.parameters() if p.grad is not None}
    assert not [module for module in network.modules() if isinstance(module, SelfUpdating)]
    assert factored.embedding.output_table() is table, "the model itself never changes"


def test_a_tied_subspace_table_adds_up_values_too() -> None:
    torch.manual_seed(0)
    head = SparseTargetHead(SubspaceTable(40, 6, 0.5), SquaredError)
    hidden, targets, values = torch.randn(7, 6), torch.randint(6, (7, 9)), torch.rand(7, 9)
    wanted = torch.zeros(7, 40).scatter_add(1, targets, values)
    scores = torch.cat([block for _, block in head.table.score_blocks(hidden)], 1)
    direct = (scores - wanted).square().sum(-1).mean()
    torch.testing.assert_close(head.sparse_loss(hidden, targets, values).loss, direct, rtol=1e-5, atol=1e-5)
