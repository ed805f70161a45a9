"""The place of a target among all tokens, for every head and every table, against scores that are all held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo.contracts import OutputHead, OutputTable
from zoo.heads import factored_table, gram_table
from zoo.heads.factored_table import FactoredTable
from zoo.heads.gram_table import GramTable
from zoo.heads.sparse_target import PlainUpdate
from zoo.layers import linear_cross_entropy
from zoo.layers.output_matrix import OutputMatrix
from zoo.layers.score_blocks import ranks_in, ranks_of
from zoo.layers.subspace_table import SubspaceTable

VOCAB, WIDTH, ROWS = 50, 16, 70
Head = Callable[[OutputTable], OutputHead]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows, or a few tokens, at a time."""
    monkeypatch.setattr(linear_cross_entropy, "_CHUNK_ELEMENTS", 1)
    monkeypatch.setattr(linear_cross_entropy, "_MIN_ROWS", 4)
    monkeypatch.setattr(factored_table, "_SCORES", 7 * ROWS)
    monkeypatch.setattr(gram_table, "_SCORES", 7 * ROWS)


def rows(seed: int = 0) -> Tensor:
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def targets() -> Tensor:
    return torch.arange(ROWS) % VOCAB


def built(head_class: Head) -> OutputHead:
    torch.manual_seed(0)
    return head_class(OutputMatrix(VOCAB, WIDTH, 1.0)).double()


def place_in(scores: Tensor) -> Tensor:
    """1 + the number of tokens that are better."""
    return 1 + (scores > scores.gather(1, targets()[:, None])).sum(1)


def every_score(score: Callable[[Tensor, Tensor], Tensor], hidden: Tensor) -> Tensor:
    """Of each token alone: (N, V)."""
    with torch.no_grad():
        return torch.stack([score(hidden, torch.full((len(hidden),), token)) for token in range(VOCAB)], 1)


def test_head_ranks_are_places_among_all_tokens(head_class: Head) -> None:
    head, hidden = built(head_class), rows()
    head.calibrate(hidden, targets())
    found = head.ranks(hidden, targets())
    assert torch.equal(found, place_in(every_score(head.log_probs, hidden)))
    assert 1 <= int(found.min()) < int(found.max()) <= VOCAB
    _, best = head.topk(hidden, VOCAB)
    assert torch.equal(found, 1 + (best == targets()[:, None]).long().argmax(1))


def test_head_that_cannot_tell_tokens_apart_gives_them_the_last_place(head_class: Head) -> None:
    """Products with 0 are equal for all tokens, and biases are at first."""
    head = built(head_class)
    if head_class.__name__ == "AdaptiveSoftmaxHead":
        pytest.skip("its clusters share a chance, so that equal scores are no equal probabilities")
    assert (head.ranks(torch.zeros_like(rows()), targets()) == VOCAB).all()


def test_scores_that_are_no_numbers_are_no_success(head_class: Head) -> None:
    assert (built(head_class).ranks(rows() * torch.nan, targets()) == VOCAB).all()


def test_autocast_makes_no_ties(head_class: Head) -> None:
    head, hidden = built(head_class).float(), rows().float()
    expected = head.ranks(hidden, targets())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head.ranks(hidden, targets()), expected)
        low = head.ranks(hidden.bfloat16(), targets())
    assert torch.equal(low, head.ranks(hidden.bfloat16().float(), targets()))


class LargestTensor(TorchDispatchMode):
    """Size of the largest tensor that any operation gives."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self.numel = max(self.numel, value.numel())
        return result


def test_scores_of_all_rows_and_tokens_are_never_held(head_class: Head) -> None:
    head, largest = built(head_class), LargestTensor()  # type: ignore[no-untyped-call]
    with largest:
        head.ranks(rows(), targets())
    assert 0 < largest.numel < ROWS * VOCAB


@pytest.mark.parametrize("biased", [False, True], ids=["plain", "bias"])
def test_table_ranks_are_places_among_all_tokens(any_table_class: Any, biased: bool) -> None:
    torch.manual_seed(0)
    table: OutputTable
    if any_table_class is FactoredTable:
        table = FactoredTable(torch.randn(VOCAB, WIDTH), WIDTH, PlainUpdate()).double()
    elif any_table_class is GramTable:
        table = GramTable(SubspaceTable(VOCAB, WIDTH, 1.0), bias=False).double()
    else:
        table = any_table_class(VOCAB, WIDTH, 1.0).double()
    hidden, bias = rows(1), torch.randn(VOCAB, dtype=torch.float64) if biased else None
    dense = every_score(lambda h, t: table.log_probs(h, t, bias), hidden)
    assert torch.equal(table.ranks(hidden, targets(), bias), place_in(dense))


def test_ties_take_the_worst_place_in_one_block_and_in_many() -> None:
    scores = torch.randint(4, (50, 11)).float()
    chosen = torch.randint(11, (50,))
    own = scores.gather(1, chosen[:, None])
    expected = (scores >= own).sum(1)
    assert torch.equal(ranks_in(scores, chosen), expected)
    for size in (1, 3, 11):
        parts = [(start, scores[:, start : start + size]) for start in range(0, 11, size)]
        assert torch.equal(ranks_of(lambda parts=parts: iter(parts), chosen), expected)  # type: ignore[misc]


def test_no_rows_have_no_ranks(head_class: Head) -> None:
    assert built(head_class).ranks(torch.zeros(0, WIDTH, dtype=torch.float64), targets()[:0]).shape == (0,)
