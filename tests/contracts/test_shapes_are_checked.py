"""The tests run with shape checks: a wrong shape must be seen, or all annotations are worth nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError

from zoo.contracts import Layout, PackedBatch
from zoo.embeddings import FullEmbedding
from zoo.heads import SoftmaxHead
from zoo.layers.output_matrix import OutputMatrix


def test_wrong_number_of_dimensions() -> None:
    with pytest.raises(TypeCheckError, match=r"Int\[Tensor, 'tokens'\]"):
        FullEmbedding(5, 4)(torch.zeros(2, 3, dtype=torch.int64))


def test_wrong_type() -> None:
    with pytest.raises(TypeCheckError, match=r"Int\[Tensor, 'tokens'\]"):
        FullEmbedding(5, 4)(torch.zeros(2))


def test_sizes_that_differ() -> None:
    with pytest.raises(TypeCheckError, match="rows"):
        SoftmaxHead(OutputMatrix(5, 4)).loss(torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64))


def test_fields_of_a_dataclass() -> None:
    with pytest.raises(TypeCheckError, match="offsets"):
        Layout(torch.zeros(2, 2, dtype=torch.int32), 2)


def test_right_shapes_pass(make_batch: Callable[..., PackedBatch]) -> None:
    assert FullEmbedding(65, 4)(make_batch([3, 2]).tokens).shape == (5, 4)
