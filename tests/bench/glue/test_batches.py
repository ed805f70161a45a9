from __future__ import annotations

import numpy as np
import pytest

from bench.glue.batches import length_grouped, shuffled

LENGTHS = np.random.default_rng(0).integers(3, 120, size=5003)


def grouped(seed: int = 0, lengths: np.ndarray = LENGTHS) -> list[np.ndarray]:
    return length_grouped(lengths, 32, np.random.default_rng(seed))


@pytest.mark.parametrize("count", [1, 31, 32, 33, 1600, 1601, 5003])
def test_every_row_once_in_steps_of_the_same_size(count: int) -> None:
    batches = grouped(lengths=LENGTHS[:count])
    assert sorted(np.concatenate(batches).tolist()) == list(range(count))
    sizes = sorted(len(batch) for batch in batches)
    assert sizes[1:] == [32] * (len(batches) - 1)
    assert len(batches) == -(-count // 32)


def test_little_is_padded() -> None:
    def padding(batches: list[np.ndarray]) -> float:
        return float(sum(len(batch) * LENGTHS[batch].max() for batch in batches) / LENGTHS.sum() - 1)

    assert padding(grouped()) < 0.1
    assert padding([np.arange(i, min(i + 32, 5003)) for i in range(0, 5003, 32)]) > 0.5


def test_the_seed_decides() -> None:
    assert all(np.array_equal(a, b) for a, b in zip(grouped(1), grouped(1), strict=True))
    assert not np.array_equal(grouped(1)[0], grouped(2)[0])


def test_lengths_come_in_random_order() -> None:
    means = [LENGTHS[batch].mean() for batch in grouped()]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


@pytest.mark.parametrize("count", [200, 1500, 5003])
def test_rows_meet_others_in_every_epoch(count: int) -> None:
    rng = np.random.default_rng(0)
    epochs = [length_grouped(LENGTHS[:count], 32, rng) for _ in range(2)]
    first, second = [{int(row): set(batch.tolist()) for batch in epoch for row in batch} for epoch in epochs]
    again = np.mean([len(first[row] & second[row]) - 1 for row in range(count)])
    assert again < 32 * 0.25, "of the 31 others of a row, at most a quarter stands beside it again"


def test_shuffled_batches_hold_all_rows_in_another_order_each_time() -> None:
    rng = np.random.default_rng(0)
    first, second = (shuffled(np.arange(100), 32, rng) for _ in range(2))
    assert [len(batch) for batch in first] == [32, 32, 32, 4]
    assert sorted(np.concatenate(first).tolist()) == list(range(100))
    assert np.concatenate(first).tolist() != np.concatenate(second).tolist()
    spread = [np.ptp(batch) for batch in first[:3]]
    assert min(spread) > 60, "lengths are mixed"
