from __future__ import annotations

import numpy as np
import pytest

from zoo.data.pair_packing import PairSampler


def repeated(batches: list[list[int]], keys: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """Pairs whose text stands already in their batch."""
    return sum(len(batch) - len(set(keys[batch].tolist())) for batch in batches)


def test_every_pair_once_in_batches_of_one_size() -> None:
    keys = np.arange(1000)
    batches = list(PairSampler(keys, keys, 64))
    assert sorted(index for batch in batches for index in batch) == list(range(1000))
    assert {len(batch) for batch in batches} <= {62, 63}
    assert len(batches) == 16


def test_no_text_twice_in_a_batch_where_avoidable() -> None:
    rng = np.random.default_rng(0)
    queries, documents = rng.integers(0, 700, 1000), rng.integers(0, 120, 1000)
    for epoch in range(5):
        sampler = PairSampler(queries, documents, 50)
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert sorted(index for batch in batches for index in batch) == list(range(1000))
        assert repeated(batches, queries) == repeated(batches, documents) == 0
    plain = [part.tolist() for part in np.array_split(rng.permutation(1000), 20)]
    assert repeated(plain, documents) > 50, "else the test shows nothing"


def test_unavoidable_repetitions_end_quickly() -> None:
    documents = np.zeros(20_000, dtype=np.int64)
    batches = list(PairSampler(np.arange(20_000), documents, 64))
    assert sorted(index for batch in batches for index in batch) == list(range(20_000))
    assert max(map(len, batches)) <= 64


def test_ranks_share_the_batches() -> None:
    keys = np.arange(500)
    ranks = [list(PairSampler(keys, keys, 32, 3, rank, 4)) for rank in range(4)]
    assert {len(own) for own in ranks} == {len(ranks[0])}
    assert sorted(index for own in ranks for batch in own for index in batch) == list(range(500))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="use more data"):
        PairSampler(np.arange(1), np.arange(1), 8, world_size=2)
    with pytest.raises(ValueError, match="batch_pairs=0"):
        PairSampler(np.arange(9), np.arange(9), 0)
