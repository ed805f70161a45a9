from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from tokenizers import Tokenizer

from zoo.data.tokenizers import vocabulary_of
from zoo.embeddings import SubspaceEmbedding
from zoo.embeddings.codes import ClusterCodes, PQCodes, SequentialCodes
from zoo.embeddings.codes.code_assignment import CodeAssignment
from zoo.heads import SoftmaxHead
from zoo.objectives import CausalLM
from zoo.optim.groups import by_role


def test_special_and_frequent_tokens_get_rows_of_their_own(tokenizer: Tokenizer) -> None:
    vocabulary = vocabulary_of(tokenizer)
    counts = torch.arange(vocabulary.size)
    embedding = SubspaceEmbedding(vocabulary.size, 8, own_rows=8)
    embedding.use_vocabulary(vocabulary, counts)
    first = embedding.table.places.argsort()[:8].tolist()
    assert set(first[:5]) == set(vocabulary.special_ids)
    assert first[5:] == [vocabulary.size - 1, vocabulary.size - 2, vocabulary.size - 3]
    assert torch.equal(embedding(torch.tensor([first[6]]))[0], embedding.table.own.matrix[6])  # type: ignore[union-attr]


def test_facts_say_how_small_it_is() -> None:
    embedding = SubspaceEmbedding(30522, 384)
    codes = (4 + 2) * 30522  # a place of four bytes and two digits of one
    assert embedding.facts == {"parameters": 67200, "bytes": 4 * 67200 + codes, "base": 175, "rank_bound": 349}


def test_input_and_output_are_separate_switches() -> None:
    assert SubspaceEmbedding(50, 8).output_table() is None
    tied = SubspaceEmbedding(50, 8, tied=True)
    assert tied.output_table() is tied.table


def test_tables_are_a_group_with_their_rows() -> None:
    tied = SubspaceEmbedding(50, 8, tied=True)
    head = SoftmaxHead(tied.table, bias=False)
    (group,) = by_role(torch.nn.ModuleList([tied, head]))
    assert (group["side"], group["table_rows"], group["zero_sum"]) == ("tied", [(8, 8)], True)
    own = SubspaceEmbedding(50, 8, own_rows=9, tied=True)
    (group,) = by_role(torch.nn.ModuleList([own, SoftmaxHead(own.table, bias=False)]))
    assert not group["zero_sum"], "neither of the short tables nor of the own rows"
    assert group["table_rows"] == [(7, 7), (9,)]


def test_a_model_without_counts_keeps_the_digits_of_ids(tokenizer: Tokenizer) -> None:
    model = CausalLM(8, SubspaceEmbedding)
    model.build(tokenizer, 16)
    assert isinstance(model.embedding, SubspaceEmbedding)
    assert torch.equal(model.embedding.table.places.long(), torch.arange(model.vocabulary.size))
    assert model.token_counts is None


def test_what_a_tied_softmax_knows_of_frequencies() -> None:
    random = partial(SequentialCodes, "random")
    assert not SubspaceEmbedding(50, 8, tied=True, codes=random).knows_frequencies
    assert not SubspaceEmbedding(50, 8, tied=True, codes=PQCodes).knows_frequencies
    assert SubspaceEmbedding(50, 8, codes=random).knows_frequencies, "the head has a table of its own"
    assert SubspaceEmbedding(50, 8, own_rows=6, tied=True, codes=random).knows_frequencies
    assert SubspaceEmbedding(50, 8, tied=True).knows_frequencies


@pytest.mark.parametrize("codes", [SequentialCodes, ClusterCodes])
def test_rows_that_no_token_would_use_are_refused(codes: Callable[[], CodeAssignment]) -> None:
    with pytest.raises(ValueError, match="digits of places use 5 rows of each of 2 tables, not 9"):
        SubspaceEmbedding(25, 8, base=9, codes=codes)
    SubspaceEmbedding(25, 8, base=9, codes=PQCodes)
