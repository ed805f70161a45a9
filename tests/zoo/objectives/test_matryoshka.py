from __future__ import annotations

from functools import partial

import pytest
import torch

from zoo.objectives import InfoNCE, Matryoshka


def test_one_size_is_the_loss_itself() -> None:
    queries, documents = torch.randn(2, 6, 8)
    loss, accuracy = InfoNCE()(queries, documents)
    same = Matryoshka([8])(queries, documents)
    assert (same[0].item(), same[1].item()) == (pytest.approx(loss.item()), accuracy.item())


def test_all_sizes_share_one_temperature() -> None:
    criterion = Matryoshka([8, 2], loss=partial(InfoNCE, learn_temperature=True, chunk_texts=3))
    assert len(list(criterion.parameters())) == 1
    assert criterion.chunk_texts == 3


def test_accuracy_is_that_of_the_largest_size() -> None:
    queries = torch.eye(4)
    assert Matryoshka([1, 4])(queries, queries)[1] == 1


@pytest.mark.parametrize("dims", [[], [0, 4], [4, 4]])
def test_refuses_sizes(dims: list[int]) -> None:
    with pytest.raises(ValueError, match="dims must be different sizes of at least 1"):
        Matryoshka(dims)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0]])
def test_refuses_weights(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must be one positive number for each of dims"):
        Matryoshka([8, 4], weights)


def test_refuses_sizes_larger_than_the_vectors() -> None:
    with pytest.raises(ValueError, match=r"dims \[16, 4\] of vectors of 8 numbers: leave out the larger ones"):
        Matryoshka([4, 16])(torch.randn(2, 8), torch.randn(2, 8))
