from __future__ import annotations

import math

import numpy as np
import pytest

from zoo.data.mixture_sampler import MixtureSampler
from zoo.data.pair_packing import PairSampler

SIZES = (200, 20, 6)
BOUNDS = np.cumsum((0, *SIZES))


def make(temperature: float = 1.0, rank: int = 0, world_size: int = 1, seed: int = 0) -> MixtureSampler:
    numbers = [np.arange(size) for size in SIZES]
    return MixtureSampler([PairSampler(n, n, 2, seed, rank, world_size) for n in numbers], temperature)


def source_of(batch: list[int]) -> int:
    found = set((np.searchsorted(BOUNDS, batch, side="right") - 1).tolist())
    assert len(found) == 1, "a batch is of one source"
    return int(found.pop())


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_at_temperature_1_every_pair_once(world_size: int) -> None:
    batches = [batch for rank in range(world_size) for batch in make(1.0, rank, world_size)]
    assert sorted(pair for batch in batches for pair in batch) == list(range(sum(SIZES)))
    for batch in batches:
        source_of(batch)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0, math.inf])
def test_shares_are_powers_of_the_steps(temperature: float) -> None:
    sampler = make(temperature)
    steps = np.array([100, 10, 3])
    expected = steps ** (1 / temperature) / (steps ** (1 / temperature)).sum()
    counts = np.zeros(3)
    for epoch in range(60):
        sampler.set_epoch(epoch)
        drawn = np.bincount([source_of(batch) for batch in sampler], minlength=3)
        assert drawn.sum() == len(sampler) == 113
        assert np.all(np.abs(drawn - 113 * expected) < 1), "rounded up or down"
        counts += drawn
    # the mean of 60 roundings: a standard deviation of at most 0.5 / sqrt(60) steps
    assert np.abs(counts / 60 - 113 * expected).max() < 4 * 0.5 / math.sqrt(60)


def test_a_source_that_is_read_twice_is_shuffled_anew() -> None:
    batches = [batch for batch in make(math.inf) if source_of(batch) == 2]
    assert len(batches) > 30
    passes = [[pair for batch in batches[first : first + 3] for pair in batch] for first in range(0, 30, 3)]
    assert all(sorted(pairs) == list(range(220, 226)) for pairs in passes)
    assert len({str(pairs) for pairs in passes}) > 5


def test_another_part_of_a_large_source_each_epoch() -> None:
    sampler = make(math.inf)
    seen = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        seen.append({pair for batch in sampler if source_of(batch) == 0 for pair in batch})
    assert len(seen[0]) < 100
    assert seen[0] != seen[1]


def test_all_ranks_draw_the_same_source_and_share_no_pair() -> None:
    ranks = [list(make(2.0, rank, 4)) for rank in range(4)]
    assert {len(own) for own in ranks} == {len(make(2.0, 0, 4))}
    for step in zip(*ranks, strict=True):
        assert len({source_of(batch) for batch in step}) == 1
        pairs = [pair for batch in step for pair in batch]
        assert len(set(pairs)) == len(pairs)


def test_resumes_in_mid_epoch() -> None:
    sampler, again = make(3.0), make(3.0)
    sampler.set_epoch(2)
    again.load_state_dict(sampler.state_dict(), start=40)
    assert list(again) == list(sampler)[40:]
    assert list(make(3.0)) == list(make(3.0))
    assert list(make(3.0)) != list(make(3.0, seed=1))
    with pytest.raises(ValueError, match=r"temperature was 3\.0 and is 2\.0 now"):
        make(2.0).load_state_dict(sampler.state_dict(), start=40)
