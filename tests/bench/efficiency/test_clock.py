from __future__ import annotations

import numpy as np
import pytest

from bench.efficiency import clock


def test_time_waits_for_the_device_on_both_sides() -> None:
    order: list[str] = []
    clock.seconds_of(lambda: order.append("run"), lambda: order.append("wait"))
    assert order == ["wait", "run", "wait"]


def test_a_processor_needs_no_waiting() -> None:
    clock.synchronizer("cpu")()


@pytest.mark.parametrize(("percent", "expected"), [(1, 1.0), (50, 50.0), (95, 95.0), (95.5, 96.0), (100, 100.0)])
def test_percentile_is_a_value_that_occurred(percent: float, expected: float) -> None:
    assert clock.percentile([float(i) for i in range(100, 0, -1)], percent) == expected


@pytest.mark.parametrize("count", [6, 7, 20, 256])
def test_interval_holds_the_median_as_often_as_it_says(count: int) -> None:
    generator = np.random.default_rng(count)
    samples = generator.exponential(size=(2000, count))
    intervals = [clock.median_interval(list(row), "call") for row in samples]
    held = np.mean([found.low <= np.log(2) <= found.high for found in intervals])
    assert intervals[0].level >= 0.95
    assert held == pytest.approx(intervals[0].level, abs=0.017)


def test_interval_is_as_narrow_as_the_level_allows() -> None:
    found = clock.median_interval([float(i) for i in range(1, 101)], "call")
    # the textbook's ranks for n = 100: 40 and 61, with 96.48 %
    assert (found.low, found.high) == (40.0, 61.0)
    assert found.level == pytest.approx(0.9648, abs=1e-4)


@pytest.mark.parametrize(("count", "level"), [(1, 0.0), (2, 0.5), (5, 0.9375)])
def test_too_few_values_give_the_range_and_the_level_that_it_has(count: int, level: float) -> None:
    found = clock.median_interval([float(i) for i in range(count)], "round")
    assert (found.low, found.high, found.level) == (0.0, count - 1.0, level)
