from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.packing import SequentialSampler, TokenBudgetSampler


def lengths_of(count: int, longest: int = 128) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.random.default_rng(0).integers(3, longest + 1, size=count)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=300),
    st.integers(100, 400),
    st.integers(0, 5),
    st.integers(1, 4),
)
def test_every_sequence_is_in_one_batch_within_the_budget(
    lengths: list[int], budget: int, epoch: int, world_size: int
) -> None:
    array = np.array(lengths)
    try:
        samplers = [TokenBudgetSampler(array, budget, 7, rank, world_size) for rank in range(world_size)]
    except ValueError:
        assert len(lengths) < 2 * world_size + sum(lengths) / (budget - max(lengths))
        return
    for sampler in samplers:
        sampler.set_epoch(epoch)
    batches = [list(sampler) for sampler in samplers]
    assert {len(own) for own in batches} == {len(samplers[0])}
    flat = [batch for own in batches for batch in own]
    assert all(0 < array[batch].sum() <= budget for batch in flat)
    assert sorted(index for batch in flat for index in batch) == list(range(len(lengths)))


def test_batches_are_full_and_alike_in_length() -> None:
    lengths = lengths_of(20_000)
    batches = list(TokenBudgetSampler(lengths, 8192))
    assert np.mean([lengths[batch].sum() for batch in batches]) > 0.97 * 8192
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 10


def test_order_changes_with_epoch_and_seed_only() -> None:
    lengths = lengths_of(500)
    first, again, other_seed = (TokenBudgetSampler(lengths, 1024, seed) for seed in (1, 1, 2))
    epoch_0 = list(first)
    assert epoch_0 == list(again)
    assert epoch_0 != list(other_seed)
    first.set_epoch(1)
    assert epoch_0 != list(first)
    fixed = TokenBudgetSampler(lengths, 1024, 1, reshuffle=False)
    fixed.set_epoch(1)
    assert epoch_0 == list(fixed)


def test_resumes_with_the_remaining_batches() -> None:
    lengths = lengths_of(500)
    sampler = TokenBudgetSampler(lengths, 1024, rank=1, world_size=2)
    sampler.set_epoch(3)
    whole = list(sampler)
    resumed = TokenBudgetSampler(lengths, 1024, rank=1, world_size=2)
    resumed.load_state_dict(sampler.state_dict(), start=5)
    resumed.set_epoch(3)
    assert list(resumed) == whole[5:]
    assert list(resumed) == whole, "only the resumed iteration is shorter"


def test_a_new_epoch_forgets_the_position() -> None:
    sampler = TokenBudgetSampler(lengths_of(500), 1024)
    sampler.load_state_dict(sampler.state_dict(), start=5)
    sampler.set_epoch(1)
    assert len(list(sampler)) == len(sampler)


@pytest.mark.parametrize(("budget", "seed", "named"), [(2048, 0, "num_batches"), (1024, 1, "seed")])
def test_another_cut_cannot_be_resumed(budget: int, seed: int, named: str) -> None:
    state = TokenBudgetSampler(lengths_of(500), 1024).state_dict()
    with pytest.raises(ValueError, match=named):
        TokenBudgetSampler(lengths_of(500), budget, seed).load_state_dict(state, 1)


@pytest.mark.parametrize(
    ("lengths", "budget", "world_size", "message"),
    [([100, 3], 150, 1, "batch_tokens to at least 200"), ([3], 100, 2, "use more data"), ([], 100, 1, "no sequences")],
)
def test_refusals(lengths: list[int], budget: int, world_size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenBudgetSampler(np.array(lengths, dtype=np.int64), budget, world_size=world_size)


def test_sequential_keeps_the_order_and_the_budget() -> None:
    lengths = lengths_of(100)
    batches = list(SequentialSampler(lengths, 300))
    assert [index for batch in batches for index in batch] == list(range(100))
    assert all(lengths[batch].sum() <= 300 for batch in batches)
    ranks = [list(SequentialSampler(lengths, 300, rank, 2)) for rank in range(2)]
    assert [len(own) for own in ranks] == [len(SequentialSampler(lengths, 300, rank, 2)) for rank in range(2)]
    assert sorted(ranks[0] + ranks[1]) == sorted(batches)
