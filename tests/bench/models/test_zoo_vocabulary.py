from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from bench.models.zoo_vocabulary import ZooVocabulary
from bench.records import ModelInfo
from zoo.contracts import OutputTable, TokenEmbedding
from zoo.embeddings import FullEmbedding, TiedEmbedding
from zoo.encoders import DenseEncoder
from zoo.layers.output_matrix import OutputMatrix
from zoo.objectives import Contrastive, MaskedLM

INFO = ModelInfo(name="m", parts={"weights": "a"}, kind="zoo", dtype="float32")


class PaddedEmbedding(TokenEmbedding):
    """A tied table with rows that no token has, and input rows that are not the rows of the table."""

    def __init__(self, num_rows: int, width: int) -> None:
        super().__init__()
        self.num_rows, self.width = num_rows, width
        self.table = OutputMatrix(num_rows + 7, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return 3 * self.table.rows(tokens)

    def output_table(self) -> OutputTable:
        return self.table


@pytest.fixture
def vocabulary(tokenizer: Tokenizer) -> Callable[..., ZooVocabulary]:
    """`vocabulary(objective, embedding)`: the tables of an untrained model."""

    def make(objective: Any, embedding: Any) -> ZooVocabulary:
        torch.manual_seed(0)
        made = objective(width=8, embedding=embedding, encoder=partial(DenseEncoder, num_layers=1, num_heads=2))
        made.build(tokenizer, 16)
        return ZooVocabulary(made, INFO)

    return make


def test_a_table_of_its_own_on_each_side(vocabulary: Callable[..., ZooVocabulary], tokenizer: Tokenizer) -> None:
    found = vocabulary(MaskedLM, FullEmbedding)
    one, other = found.table("input"), found.table("output")
    assert one is not None
    assert other is not None
    assert one.shape == other.shape == (65, 8)
    assert one.dtype == np.float64
    assert not found.tied
    assert np.abs(one - other).max() > 0.01
    assert found.token_id("ba", leading_space=True) == tokenizer.token_to_id("ba")
    assert len(found.special_ids) == 5
    assert found.describe() is INFO


def test_a_shared_table_is_the_same_on_both(vocabulary: Callable[..., ZooVocabulary]) -> None:
    found = vocabulary(MaskedLM, TiedEmbedding)
    assert found.tied
    np.testing.assert_array_equal(found.table("input"), found.table("output"))


def test_an_objective_without_a_head_has_no_output(vocabulary: Callable[..., ZooVocabulary]) -> None:
    found = vocabulary(Contrastive, TiedEmbedding)
    assert found.table("output") is None
    assert not found.tied
    assert found.table("input") is not None


def test_rows_are_what_the_embedding_gives_and_no_padding(vocabulary: Callable[..., ZooVocabulary]) -> None:
    found = vocabulary(MaskedLM, PaddedEmbedding)
    one, other = found.table("input"), found.table("output")
    assert one is not None
    assert other is not None
    assert one.shape == other.shape == (65, 8)
    np.testing.assert_allclose(one, 3 * other, rtol=1e-6)


def test_counts_are_those_of_the_run(vocabulary: Callable[..., ZooVocabulary]) -> None:
    found = vocabulary(MaskedLM, TiedEmbedding)
    assert found.token_counts is None
    found._objective.token_counts = torch.arange(65)
    counts = found.token_counts
    assert counts is not None
    assert (counts.dtype, counts.tolist()) == (np.int64, list(range(65)))
