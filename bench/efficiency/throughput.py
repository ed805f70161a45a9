"""Texts and tokens a second at the best batch, and the energy that they cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, cast

from bench.efficiency import clock, energy
from bench.efficiency.energy import EnergyMeter
from bench.efficiency.measured import Measured
from bench.efficiency.passes import tokens_per_text
from bench.embedding.compute import Computation
from bench.protocols import Encoder, NotApplicableError
from bench.records import Scores

BATCH_TOKENS = (512, 2048, 8192, 32768)
ROUNDS = 7  # the fewest whose whole range holds the median with 95 % confidence, and one to spare
ROUND_SECONDS = 0.5  # a round shorter than this repeats the texts: clocks and energy counters are coarse


def measure(encoder: Encoder, texts: Sequence[str], device: str) -> Measured:
    """Encode all texts with each batch size, then seven times with the best, as the runner does it.

    A first pass does not count, and neither do those of the sweep, so that buffers, kernels and clocks are warm.

    Args:
        encoder: the model.
        texts: of mixed lengths.
        device: that it runs on.

    Returns:
        `texts_per_second` (the main score: median of the rounds), `tokens_per_second`, `best_batch_tokens`, the sweep,
        and joules per 1,000 texts of `cpu` and `gpu`, each with a reason where it cannot be read.
    """
    synchronize = clock.synchronizer(device)
    run = _runner(encoder, texts)
    run(BATCH_TOKENS[1])
    sweep = {size: clock.seconds_of(partial(run, size), synchronize) for size in BATCH_TOKENS}
    best = min(sweep, key=lambda size: sweep[size])
    passes = max(1, math.ceil(ROUND_SECONDS / sweep[best]))
    meters, unreadable = energy.meters(device)
    rounds = [_round(partial(run, best), passes, synchronize, meters.values()) for _ in range(ROUNDS)]
    rates = [len(texts) * passes / seconds for seconds in rounds]
    done = len(texts) * passes * ROUNDS
    median = clock.median(rates)
    scores = {
        "texts_per_second": median,
        "best_batch_tokens": float(best),
        **{f"batch_tokens_{size}/texts_per_second": len(texts) / seconds for size, seconds in sweep.items()},
        **{f"{name}_joules_per_1000_texts": meter.joules / done * 1000 for name, meter in meters.items()},
    }
    absent = {f"{name}_joules_per_1000_texts": reason for name, reason in unreadable.items()}
    tokens = tokens_per_text(encoder, texts)
    if tokens is None:
        absent["tokens_per_second"] = "the model reads texts, not token ids"
    else:
        scores |= {"tokens_per_second": median * tokens, "tokens_per_text": tokens}
    found = Scores(median, scores, clock.median_interval(rates, "round"), absent)
    return Measured(found, sum(sweep.values()) + sum(rounds), done + len(texts) * len(sweep))


class _Resized:
    """An encoder with another size of a batch."""

    def __init__(self, encoder: Encoder, batch_tokens: int) -> None:
        self._encoder = encoder
        self.batch_tokens = batch_tokens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)


def _runner(encoder: Encoder, texts: Sequence[str]) -> Callable[[int], None]:
    """Encodes the texts in batches of a number of tokens; no prompt is named, so that the model takes its default."""
    dim = encoder.describe().dim
    if dim is None:
        raise NotApplicableError("the model does not say how wide its vectors are")

    def run(batch_tokens: int) -> None:
        resized = cast(Encoder, _Resized(encoder, batch_tokens))
        for _ in Computation(resized, encoder.route(None, None), dim).run([texts]):
            pass

    return run


def _round(
    run: Callable[[], None], passes: int, synchronize: Callable[[], None], meters: Collection[EnergyMeter]
) -> float:
    """Seconds of `passes` calls of `run`."""

    def repeated() -> None:
        for _ in range(passes):
            run()

    for meter in meters:
        meter.start()
    seconds = clock.seconds_of(repeated, synchronize)
    for meter in meters:
        meter.stop()
    return seconds
