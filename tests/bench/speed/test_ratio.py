from __future__ import annotations

import pytest

from bench.speed.ratio import Timing, ratios, time_in_turn


def test_contestants_run_in_turn_after_a_warm_up() -> None:
    order: list[str] = []
    timings = time_in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert [len(timing.seconds) for timing in timings.values()] == [2, 2]


def test_ratio_is_taken_round_by_round() -> None:
    ours, other = Timing((1.0, 2.0, 4.0)), Timing((3.0, 4.0, 4.0))
    assert ratios(ours, other) == (1.0, 2.0, 3.0)
    assert other.median == pytest.approx(4.0)
