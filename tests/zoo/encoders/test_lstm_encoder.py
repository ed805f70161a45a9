from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from zoo.contracts import Layout, PackedBatch
from zoo.embeddings import FullEmbedding, TiedEmbedding
from zoo.encoders import LSTMEncoder
from zoo.heads import SoftmaxHead
from zoo.layers.output_matrix import OutputMatrix

WIDTH = 16
Make = Callable[..., PackedBatch]


def build(dropout: float = 0.0, width: int = WIDTH) -> LSTMEncoder:
    torch.manual_seed(0)
    return LSTMEncoder(width, 2, dropout, init_range=0.5).double()


def layout_of(make_batch: Make, lengths: list[int], continues: bool = False) -> Layout:
    return replace(make_batch(lengths), continues=continues).layout(causal=True)


def random(tokens: int, width: int = WIDTH) -> Tensor:
    return torch.randn(tokens, width, dtype=torch.float64)


def test_company_in_the_batch_does_not_matter(make_batch: Make) -> None:
    encoder, lengths = build(), [3, 7, 1, 5, 7]
    x = random(sum(lengths))
    together = encoder(x, layout_of(make_batch, lengths)).hidden.split(lengths)
    for part, found in zip(x.split(lengths), together, strict=True):
        torch.testing.assert_close(encoder(part, layout_of(make_batch, [len(part)])).hidden, found)


@pytest.mark.parametrize("cuts", [[10], [5, 5], [1, 3, 6], [2] * 5])
def test_where_windows_are_cut_does_not_matter(cuts: list[int], make_batch: Make) -> None:
    encoder, x = build().eval(), random(10)
    whole = encoder(x, layout_of(make_batch, [10])).hidden
    parts = [
        encoder(part, layout_of(make_batch, [len(part)], continues=number > 0)).hidden
        for number, part in enumerate(x.split(cuts))
    ]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_a_batch_that_does_not_continue_begins_anew(make_batch: Make) -> None:
    encoder, x = build().eval(), random(8)
    first, second = (encoder(x, layout_of(make_batch, [5, 3])).hidden for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(encoder(x, layout_of(make_batch, [5, 3], continues=True)).hidden, first)


def test_evaluation_does_not_touch_the_state_of_training(make_batch: Make) -> None:
    x, y = random(8), random(6)
    found = []
    for evaluates in (False, True):
        encoder = build()
        encoder(x, layout_of(make_batch, [4, 4]))
        if evaluates:
            encoder.eval()(y, layout_of(make_batch, [2, 2, 2]))
            encoder.train()
        found.append(encoder(x, layout_of(make_batch, [4, 4], continues=True)).hidden)
    assert torch.equal(*found)


def test_the_state_is_no_part_of_the_model(make_batch: Make) -> None:
    encoder = build()
    names = set(encoder.state_dict())
    hidden = encoder(random(4).requires_grad_(), layout_of(make_batch, [4])).hidden
    assert set(encoder.state_dict()) == names
    hidden.sum().backward()
    copy.deepcopy(encoder)(random(4), layout_of(make_batch, [4], continues=True)).hidden.sum().backward()


def test_without_a_state_a_continued_batch_begins_with_zeros(make_batch: Make) -> None:
    x = random(4)
    expected = build()(x, layout_of(make_batch, [4])).hidden
    assert torch.equal(build()(x, layout_of(make_batch, [4], continues=True)).hidden, expected)


def test_another_number_of_sequences_cannot_continue(make_batch: Make) -> None:
    encoder = build()
    encoder(random(8), layout_of(make_batch, [4, 4]))
    with pytest.raises(ValueError, match="3 sequences cannot continue 2: give every batch the same number"):
        encoder(random(6), layout_of(make_batch, [2, 2, 2], continues=True))


def zeros_of_last_mask(encoder: LSTMEncoder, x: Tensor, layout: Layout, lengths: list[int]) -> list[Tensor]:
    """Which numbers of each sequence's hidden vectors are dropped, step by step."""
    return list((encoder(x, layout).hidden == 0).split(lengths))


def test_a_mask_is_one_for_all_steps_and_another_for_each_sequence_and_window(make_batch: Make) -> None:
    encoder, lengths = build(0.5), [6, 4]
    x, layout = random(10), layout_of(make_batch, lengths)
    first, second = (zeros_of_last_mask(encoder, x, layout, lengths) for _ in range(2))
    for dropped in first:
        assert torch.equal(dropped, dropped[:1].expand_as(dropped))
        assert 0 < int(dropped[0].sum()) < WIDTH
    assert not torch.equal(first[0][0], first[1][0])
    assert not torch.equal(first[0][0], second[0][0])
    assert not any(part.any() for part in zeros_of_last_mask(encoder.eval(), x, layout, lengths))


@pytest.mark.parametrize("rate", [0.2, 0.65])
def test_dropout_is_the_share_that_is_dropped(rate: float, make_batch: Make) -> None:
    encoder, lengths = build(rate, width=50), [1] * 400
    masks = encoder._masks(len(lengths), torch.empty(0).double())
    for mask in masks:
        assert float((mask == 0).double().mean()) == pytest.approx(rate, abs=0.02)
        assert mask.max() == pytest.approx(1 / (1 - rate))
    hidden = encoder(random(400, 50), layout_of(make_batch, lengths)).hidden
    assert float((hidden == 0).double().mean()) == pytest.approx(rate, abs=0.02)


def test_every_weight_begins_within_the_range() -> None:
    torch.manual_seed(0)
    for parameter in LSTMEncoder(100, init_range=0.04).parameters():
        assert 0.039 < float(parameter.detach().abs().max()) <= 0.04
        assert float(parameter.detach().std()) == pytest.approx(0.04 / 3**0.5, rel=0.1)


def test_half_precision_products_change_little(make_batch: Make) -> None:
    encoder, lengths = build().float(), [20, 30]
    x, layout = random(50).float(), layout_of(make_batch, lengths)
    exact = encoder(x, layout).hidden
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = encoder(x, layout).hidden
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, atol=0.02, rtol=0)


# Millions of parameters of the published nets: vocabulary, width, both tables, one table (one bias a gate; the output
# has one bias a token where the tables are two).
NETS = [(10_000, 200, 4.652, 2.642), (10_000, 650, 19.775, 13.265), (10_000, 1500, 66.02, 51.01)]
NETS += [(33_278, 200, 13.99, 7.30), (33_278, 650, 50.06, 28.40)]


@pytest.mark.parametrize(("vocab", "width", "apart", "tied"), NETS)
def test_sizes_are_the_published_ones(vocab: int, width: int, apart: float, tied: float) -> None:
    with torch.device("meta"):
        body = LSTMEncoder(width)
        two = [body, FullEmbedding(vocab, width), SoftmaxHead(OutputMatrix(vocab, width))]
        one = [body, TiedEmbedding(vocab, width)]
    for parts, expected in ((two, apart), (one, tied)):
        millions = sum(p.numel() for part in parts for p in part.parameters()) / 1e6
        digits = 3 if expected in (4.652, 2.642, 19.775, 13.265) else 2
        assert round(millions, digits) == pytest.approx(expected, abs=1e-9)


def test_what_cannot_be_is_refused(make_batch: Make) -> None:
    with pytest.raises(ValueError, match="num_layers must be at least 1, not 0"):
        LSTMEncoder(WIDTH, num_layers=0)
    for rate in (1.0, -0.1):
        with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\), not"):
            LSTMEncoder(WIDTH, dropout=rate)
    with pytest.raises(ValueError, match=r"init_range must be above 0, not 0\.0"):
        LSTMEncoder(WIDTH, init_range=0.0)
    with pytest.raises(ValueError, match="sees the left side only: use CausalLM as objective, or DenseEncoder"):
        build()(random(4), make_batch([4]).layout(causal=False))
