from __future__ import annotations

import pytest

from bench.speed import ratio
from bench.speed.ratio import Timing, ratios, time_in_turn


def test_contestants_run_in_turn_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratio, "_SHORTEST", 0.0)
    order: list[str] = []
    timings = time_in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert [len(timing.seconds) for timing in timings.values()] == [2, 2]


def test_a_round_of_what_is_short_is_the_mean_of_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def short() -> None:
        now[0] += 0.001

    def long() -> None:
        now[0] += 2.0

    timings = time_in_turn({"short": short, "long": long}, rounds=1)
    assert timings["short"].seconds == pytest.approx((0.001,))
    assert timings["long"].seconds == pytest.approx((2.0,))
    # two calls to find out and 200 to measure; one and one
    assert now[0] == pytest.approx(0.202 + 4.0)


def test_ratio_is_taken_round_by_round() -> None:
    ours, other = Timing((1.0, 2.0, 4.0)), Timing((3.0, 4.0, 4.0))
    assert ratios(ours, other) == (1.0, 2.0, 3.0)
    assert other.median == pytest.approx(4.0)
