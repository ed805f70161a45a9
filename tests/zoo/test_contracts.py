from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from zoo.contracts import PackedBatch, PairBatch, Vocabulary


def test_packs_sequences_end_to_end() -> None:
    batch = PackedBatch.from_sequences([[1, 2, 3], [4], [5, 6]])
    assert batch.tokens.tolist() == [1, 2, 3, 4, 5, 6]
    assert batch.cu_seqlens.tolist() == [0, 3, 4, 6]
    assert (batch.max_seqlen, batch.num_sequences) == (3, 3)
    assert (batch.tokens.dtype, batch.cu_seqlens.dtype) == (torch.int64, torch.int32)
    layout = batch.layout(causal=True)
    assert layout.lengths.tolist() == [3, 1, 2]
    assert layout.causal


def test_empty_batches_and_sequences_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sequence"):
        PackedBatch.from_sequences([])
    with pytest.raises(ValueError, match="sequence 1 of the batch is empty"):
        PackedBatch.from_sequences([[1], [], [2]])


def test_moves_as_a_whole() -> None:
    batch = PackedBatch.from_sequences([[1, 2]])
    moved = PairBatch(batch, batch).to("meta")
    assert {t.device.type for b in (moved.queries, moved.documents) for t in (b.tokens, b.cu_seqlens)} == {"meta"}
    assert moved.documents.max_seqlen == 2


def test_special_ids() -> None:
    assert Vocabulary(9, 0, 1, 2, 3, 4).special_ids == (0, 1, 2, 3, 4)


def test_what_continues_is_passed_on() -> None:
    batch = PackedBatch.from_sequences([[1, 2], [3]])
    assert not batch.continues
    assert not batch.layout(causal=True).continues
    going_on = replace(batch, continues=True)
    assert going_on.layout(causal=True).continues
    assert going_on.to("cpu").continues


def test_splits_into_consecutive_parts() -> None:
    batch = PackedBatch.from_sequences([[1, 2, 3], [4], [5, 6], [7], [8, 9]])
    parts = batch.split(2)
    assert [part.tokens.tolist() for part in parts] == [[1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert [part.cu_seqlens.tolist() for part in parts] == [[0, 3, 4], [0, 2, 3, 5]]
    assert [part.max_seqlen for part in parts] == [3, 2]
    assert all(part.cu_seqlens.dtype == torch.int32 for part in parts)
    assert [part.num_sequences for part in batch.split(3)] == [1, 2, 2]


def test_fingerprints_tell_texts_apart() -> None:
    texts = [[2, 7, 3], [2, 3, 7], [2, 7, 3], [7, 3], [7, 3, 0], [0, 7, 3], [0], [0, 0]]
    numbers = PackedBatch.from_sequences(texts).fingerprints().tolist()
    assert numbers[0] == numbers[2]
    assert len(set(numbers)) == len(texts) - 1
    alone = PackedBatch.from_sequences([[2, 7, 3]])
    assert alone.fingerprints().tolist() == numbers[:1], "whatever else is in the batch"


def test_hard_negatives_stand_behind_the_documents() -> None:
    queries, documents = PackedBatch.from_sequences([[1], [2]]), PackedBatch.from_sequences([[3]] * 6)
    assert PairBatch(queries, documents).num_negatives == 2
    assert PairBatch(queries, queries).num_negatives == 0
    assert PairBatch(queries, documents).to("cpu").num_negatives == 2
    for wrong in ([[3]], [[3]] * 3):
        with pytest.raises(ValueError, match="documents for 2 queries: give each query its document, and all queries"):
            PairBatch(queries, PackedBatch.from_sequences(wrong))
