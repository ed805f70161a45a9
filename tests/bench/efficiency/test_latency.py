from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.efficiency import latency


def test_one_text_at_a_time_and_the_warm_up_does_not_count(new_slow_encoder: Callable[..., Any]) -> None:
    encoder = new_slow_encoder(seconds_per_batch=0.002)
    measured = latency.measure(encoder, ["a b c"] * 8, "cpu")
    assert len(encoder.batches) == latency.WARM_UP + latency.PASSES * 8 == measured.texts
    assert all(len(batch) == 1 for batch in encoder.batches)
    interval = measured.scores.interval
    assert interval is not None
    assert interval.count == latency.PASSES * 8
    assert interval.low <= measured.scores.main <= interval.high
    assert 2 <= measured.scores.main <= measured.scores.all["latency_p95_ms"]


def test_a_longer_text_takes_longer(new_slow_encoder: Callable[..., Any]) -> None:
    encoder = new_slow_encoder(seconds_per_token=0.0005)
    short, long = (latency.measure(encoder, ["a " * words] * 2, "cpu").scores.main for words in (1, 16))
    assert long > short + 6
