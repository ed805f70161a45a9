from __future__ import annotations

from bench.embedding import Meter


def test_seconds_add_up() -> None:
    meter = Meter()
    with meter:
        pass
    first = meter.seconds
    with meter:
        pass
    assert 0 < first < meter.seconds < 1
