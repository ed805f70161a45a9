"""Time of one text, from the string to its vector."""

from __future__ import annotations

from collections.abc import Sequence

from bench.efficiency import clock
from bench.efficiency.measured import Measured
from bench.efficiency.passes import encode
from bench.protocols import Encoder
from bench.records import Scores

WARM_UP = 16
PASSES = 4


def measure(encoder: Encoder, texts: Sequence[str], device: str) -> Measured:
    """Encode the texts one at a time, four times over, after 16 calls that do not count.

    Args:
        encoder: the model.
        texts: of one length.
        device: that it runs on.

    Returns:
        `latency_p50_ms` (the main score) and `latency_p95_ms` over all calls.
    """
    synchronize = clock.synchronizer(device)

    def call(text: str) -> float:
        return clock.seconds_of(lambda: encode(encoder, [text], batch_size=1), synchronize)

    warm_up = [call(texts[i % len(texts)]) for i in range(WARM_UP)]
    calls = [call(text) * 1e3 for _ in range(PASSES) for text in texts]
    median = clock.median(calls)
    scores = {
        "latency_p50_ms": median,
        "latency_p95_ms": clock.percentile(calls, 95),
        "latency_min_ms": min(calls),
    }
    seconds = sum(warm_up) + sum(calls) / 1e3
    return Measured(Scores(median, scores, clock.median_interval(calls, "call")), seconds, WARM_UP + len(calls))
