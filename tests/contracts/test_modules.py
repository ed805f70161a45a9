"""Every module of every axis: shapes, types, gradients, weights that come back from a state dict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.contracts import Encoder, EncoderOutput, OutputHead, OutputTable, PackedBatch, SelfUpdating, TokenEmbedding
from zoo.heads.factored_table import FactoredTable
from zoo.heads.gram_table import GramTable
from zoo.heads.sparse_target import PlainUpdate
from zoo.layers.feed_forward import FeedForward
from zoo.layers.output_matrix import OutputMatrix
from zoo.layers.positions import Positions
from zoo.layers.subspace_table import SubspaceTable
from zoo.optim.groups import by_role

# a vocabulary as small as this is no place for a factored table
pytestmark = pytest.mark.filterwarnings("ignore:V = 30 is below 3 D = 48:UserWarning")

VOCAB, WIDTH = 30, 16
LENGTHS = [4, 4, 1, 7]
DTYPES = [torch.float32, torch.float64, torch.bfloat16]
Make = Callable[..., PackedBatch]
Build = Callable[[], Any]

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: str(d).removeprefix("torch."))


def build(factory: Build, dtype: torch.dtype, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return factory().to(dtype)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def random(rows: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()


def check_gradients(module: nn.Module, *inputs: Tensor) -> None:
    for name, tensor in [*module.named_parameters(), *((f"input {i}", t) for i, t in enumerate(inputs))]:
        assert tensor.grad is not None, name
        assert torch.isfinite(tensor.grad).all(), name
        assert tensor.grad.any(), name


def check_round_trip(factory: Build, outputs: Callable[[Any], Tensor]) -> None:
    first, second = build(factory, torch.float32, seed=0), build(factory, torch.float32, seed=1)
    assert not torch.equal(outputs(first), outputs(second))
    second.load_state_dict(first.state_dict())
    assert torch.equal(outputs(first), outputs(second))


@every_dtype
def test_embedding(embedding_class: Callable[[int, int], TokenEmbedding], dtype: torch.dtype) -> None:
    embedding: TokenEmbedding = build(lambda: embedding_class(VOCAB, WIDTH), dtype)
    tokens = torch.arange(VOCAB).repeat(2)
    vectors = embedding(tokens)
    assert vectors.shape == (2 * VOCAB, WIDTH)
    assert vectors.dtype == dtype
    assert torch.equal(vectors[:VOCAB], vectors[VOCAB:])
    table = embedding.output_table()
    scored = 0.0 if table is None else table.cross_entropy(random(9, dtype), torch.arange(9))
    (vectors.square().sum() + scored).backward()
    check_gradients(embedding)
    assert (embedding.num_rows, embedding.width) == (VOCAB, WIDTH)
    assert embedding.num_parameters == sum(p.numel() for p in embedding.parameters())
    assert embedding.num_bytes == sum(t.numel() * t.element_size() for t in embedding.state_dict().values())
    assert embedding.parameter_role == "vocabulary"


def test_embedding_round_trip(embedding_class: Callable[[int, int], TokenEmbedding]) -> None:
    check_round_trip(lambda: embedding_class(VOCAB, WIDTH), lambda e: e(torch.arange(VOCAB)))


@every_dtype
def test_shared_table_composes_the_vectors_of_the_input(
    embedding_class: Callable[[int, int], TokenEmbedding], dtype: torch.dtype
) -> None:
    embedding: TokenEmbedding = build(lambda: embedding_class(VOCAB, WIDTH), dtype)
    table = embedding.output_table()
    if table is None:
        return
    assert (table.num_rows, table.width) == (VOCAB, WIDTH)
    assert torch.equal(table.weight(), embedding(torch.arange(VOCAB)))
    assert {id(p) for p in table.parameters()} == {id(p) for p in embedding.parameters()}


def factored(num_rows: int, width: int, init_std: float) -> FactoredTable:
    """With a bias column of zeros."""
    matrix = torch.nn.functional.pad(torch.randn(num_rows, width) * init_std, (0, 1))
    return FactoredTable(matrix, width, PlainUpdate())


@pytest.fixture
def table_class(any_table_class: Any) -> Callable[[int, int, float], OutputTable]:
    """Every table, built from its sizes."""
    if any_table_class is GramTable:
        return lambda *sizes: GramTable(SubspaceTable(*sizes), bias=False)
    return factored if any_table_class is FactoredTable else any_table_class


@every_dtype
def test_table(table_class: Callable[[int, int, float], OutputTable], dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and table_class is factored:
        return  # refused: a step of factors needs more digits
    table: OutputTable = build(lambda: table_class(VOCAB, WIDTH, 0.02), dtype)
    assert (table.num_rows, table.width) == (VOCAB, WIDTH)
    assert table.parameter_role == "vocabulary"
    ids = torch.tensor([VOCAB - 1, 0, 0])
    assert table.weight().shape == (VOCAB, WIDTH)
    assert table.rows(ids).dtype == table.weight().dtype == dtype
    torch.testing.assert_close(table.rows(ids), table.weight()[ids])  # a product of other rows may round differently
    if not isinstance(table, SelfUpdating):  # which has no parameters, and no softmax to train
        (table.weight().square().sum() + table.cross_entropy(random(9, dtype), torch.arange(9))).backward()
    check_gradients(table)
    check_round_trip(lambda: table_class(VOCAB, WIDTH, 0.02), lambda t: t.weight())


def test_table_scores_are_products_where_it_says_so(table_class: Callable[[int, int, float], OutputTable]) -> None:
    table: OutputTable = build(lambda: table_class(VOCAB, WIDTH, 1.0), torch.float64)
    hidden, bias = random(VOCAB, torch.float64).detach(), torch.linspace(-1, 1, VOCAB, dtype=torch.float64)
    with torch.no_grad():
        found = table.log_probs(hidden, torch.arange(VOCAB), bias)
        products = (hidden @ table.weight().T + bias).log_softmax(-1).diagonal()
    assert torch.allclose(found, products, atol=1e-10) == table.scores_are_products


def test_table_draws_from_its_own_probabilities(table_class: Callable[[int, int, float], OutputTable]) -> None:
    """All draws of one row, against the chances of the most likely tokens."""
    table: OutputTable = build(lambda: table_class(VOCAB, WIDTH, 0.5), torch.float64)
    hidden, draws = random(1, torch.float64).detach(), 4000
    with torch.no_grad():
        chances = table.log_probs(hidden.expand(VOCAB, -1), torch.arange(VOCAB)).exp()
        ids = table.sample(hidden.expand(draws, -1), None, torch.Generator().manual_seed(0))
    assert chances.sum().item() == pytest.approx(1)
    found = ids.bincount(minlength=VOCAB) / draws
    assert float(((found - chances) / (chances * (1 - chances) / draws).sqrt()).abs().max()) < 4.5


# Encoders that see the left side only, and what they say of another layout.
REFUSED = {
    name: f"{name} sees the left side only: use CausalLM as objective" for name in ("LSTMEncoder", "NGramEncoder")
}


@every_dtype
@pytest.mark.parametrize("causal", [False, True])
def test_encoder(encoder_class: type[Encoder], dtype: torch.dtype, causal: bool, make_batch: Make) -> None:
    encoder: Encoder = build(lambda: encoder_class(WIDTH), dtype)
    x = random(sum(LENGTHS), dtype)
    if not causal and encoder_class.__name__ in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[encoder_class.__name__]):
            encoder(x, make_batch(LENGTHS).layout(causal=False))
        return
    output = encoder(x, make_batch(LENGTHS).layout(causal=causal))
    assert isinstance(output, EncoderOutput)
    assert output.hidden.shape == x.shape
    assert output.hidden.dtype == dtype
    for scalar in [*output.aux_losses.values(), *output.diagnostics.values()]:
        assert scalar.shape == ()
    direction = random(len(x), dtype).detach()
    torch.stack([(output.hidden * direction).sum(), *output.aux_losses.values()]).sum().backward()
    check_gradients(encoder, x)
    assert encoder.width == WIDTH


def test_encoder_round_trip(encoder_class: Callable[[int], Encoder], make_batch: Make) -> None:
    layout = make_batch(LENGTHS).layout(causal=True)
    check_round_trip(lambda: encoder_class(WIDTH), lambda e: e(random(sum(LENGTHS), torch.float32), layout).hidden)


@every_dtype
def test_head(head_class: Callable[[OutputTable], OutputHead], dtype: torch.dtype) -> None:
    head: OutputHead = build(lambda: head_class(OutputMatrix(VOCAB, WIDTH)), dtype)
    hidden, targets = random(9, dtype), torch.arange(9)
    if dtype == torch.bfloat16 and isinstance(getattr(head, "table", None), SelfUpdating):
        with pytest.raises(ValueError, match=r"set trainer\.precision bf16-mixed"):
            head.loss(hidden, targets)
        return
    result = head.loss(hidden, targets)
    assert result.loss.shape == result.nll.shape == ()
    assert not result.nll.requires_grad
    result.loss.backward()
    check_gradients(head, hidden)
    head.calibrate(hidden.detach(), targets)
    log_probs = head.log_probs(hidden, targets)
    assert log_probs.shape == (9,)
    assert log_probs.dtype == torch.promote_types(dtype, torch.float32)
    assert (log_probs <= 0).all()
    values, ids = head.topk(hidden, 3)
    assert values.shape == ids.shape == (9, 3)
    assert (values.diff(dim=1) <= 0).all()
    assert int(ids.min()) >= 0
    assert int(ids.max()) < VOCAB


def test_head_probabilities_add_up_to_one(head_class: Callable[[OutputTable], OutputHead]) -> None:
    head: OutputHead = build(lambda: head_class(OutputMatrix(VOCAB, WIDTH, 1.0)), torch.float64)
    hidden = random(1, torch.float64).expand(VOCAB, WIDTH)
    head.calibrate(hidden.detach(), torch.arange(VOCAB))
    assert float(head.log_probs(hidden, torch.arange(VOCAB)).detach().exp().sum()) == pytest.approx(1)


def test_head_round_trip(head_class: Callable[[OutputTable], OutputHead]) -> None:
    hidden, targets = random(9, torch.float32), torch.arange(9)

    def log_probs(head: OutputHead) -> Tensor:
        head.calibrate(hidden.detach(), targets)
        return head.log_probs(hidden, targets).detach()

    check_round_trip(lambda: head_class(OutputMatrix(VOCAB, WIDTH)), log_probs)


@every_dtype
def test_feed_forward(feed_forward_class: Callable[[int], FeedForward], dtype: torch.dtype) -> None:
    block: FeedForward = build(lambda: feed_forward_class(WIDTH), dtype)
    x = random(5, dtype)
    out = block(x)
    assert out.shape == x.shape
    assert out.dtype == dtype
    assert block.down.out_features == WIDTH
    (out * random(5, dtype).detach()).sum().backward()
    check_gradients(block, x)
    check_round_trip(lambda: feed_forward_class(WIDTH), lambda b: b(random(5, torch.float32)))


@every_dtype
def test_positions(positions_class: Callable[[int, int], Positions], dtype: torch.dtype, make_batch: Make) -> None:
    positions: Positions = build(lambda: positions_class(WIDTH, 4), dtype)
    x, layout = random(sum(LENGTHS), dtype), make_batch(LENGTHS).layout(causal=False)
    placed, angles = positions(x, layout), positions.rotation(layout, dtype)
    assert placed.shape == x.shape
    assert placed.dtype == dtype
    assert torch.equal(placed, x) == (angles is not None), "places are told once"
    for part in angles or ():
        assert part.shape == (len(x), 2)
        assert part.dtype == torch.promote_types(dtype, torch.float32)
    (placed * random(len(x), dtype).detach()).sum().backward()
    check_gradients(positions, x)
    assert all(parameter.ndim > 1 for parameter in positions.parameters())


def test_head_keeps_its_promise_of_a_zero_sum(head_class: Callable[[OutputTable], OutputHead]) -> None:
    with default_dtype(torch.float64):  # sums over the rows are not rounded then
        head: OutputHead = build(lambda: head_class(OutputMatrix(VOCAB, WIDTH, 1.0)), torch.float64)
    head.loss(random(30, torch.float64), torch.arange(30) % VOCAB).loss.backward()
    if isinstance(table := getattr(head, "table", None), FactoredTable):
        before = table.matrix.dense()
        table.apply_gradient(1.0)
        gradients: list[Tensor | None] = [before - table.matrix.dense()]
    else:
        groups = [group for group in by_role(head) if group["role"] == "vocabulary"]
        gradients = [parameter.grad for group in groups for parameter in group["params"]]
    assert gradients
    for gradient in gradients:
        assert gradient is not None
        relative = float(gradient.sum(0).norm() / gradient.norm())
        assert (relative < 1e-12) == head.zero_sum, relative
    assert head.vocabulary_side == "output"
