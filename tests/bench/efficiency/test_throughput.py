from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bench.efficiency import energy, throughput

TEXTS = ["a b c d", "a"] * 20
SIZES = (4, 16, 64)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "ROUND_SECONDS", 0.01)
    monkeypatch.setattr(throughput, "BATCH_TOKENS", SIZES)
    monkeypatch.setattr(energy, "meters", lambda device: ({}, {"cpu": "no RAPL", "gpu": "no GPU"}))


def test_the_best_batch_is_found_and_the_sweep_is_recorded(new_slow_encoder: Callable[..., Any]) -> None:
    measured = throughput.measure(new_slow_encoder(seconds_per_batch=0.004), TEXTS, "cpu")
    scores = measured.scores
    assert scores.all["best_batch_tokens"] == 64
    rates = [scores.all[f"batch_tokens_{size}/texts_per_second"] for size in SIZES]
    assert rates == sorted(rates)
    assert scores.main == scores.all["texts_per_second"] > rates[1]
    assert scores.all["tokens_per_second"] == pytest.approx(2.5 * scores.main)
    assert scores.absent == {"cpu_joules_per_1000_texts": "no RAPL", "gpu_joules_per_1000_texts": "no GPU"}
    assert scores.interval is not None
    assert scores.interval.count == throughput.ROUNDS


def test_a_model_that_a_large_batch_slows_down_gets_a_small_one(new_slow_encoder: Callable[..., Any]) -> None:
    class Padded(new_slow_encoder):  # type: ignore[misc, valid-type]
        def embed(self, batch: Sequence[Any], route: Any) -> Any:
            self.seconds_per_batch = 0.0005 * len(batch) ** 2
            return super().embed(batch, route)

    assert throughput.measure(Padded(), TEXTS, "cpu").scores.all["best_batch_tokens"] == 4


def test_tokens_of_a_model_that_reads_texts_are_unknown(new_slow_encoder: Callable[..., Any]) -> None:
    scores = throughput.measure(new_slow_encoder(reads_text=True), TEXTS, "cpu").scores
    assert "tokens_per_second" in scores.absent
    assert "tokens_per_second" not in scores.all


def test_energy_is_that_of_the_counted_rounds(
    new_slow_encoder: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Meter:
        joules = 0.0
        running = False

        def start(self) -> None:
            assert not self.running
            self.running = True

        def stop(self) -> None:
            assert self.running
            self.running, self.joules = False, self.joules + 4

    monkeypatch.setattr(energy, "meters", lambda device: ({"gpu": Meter()}, {}))
    monkeypatch.setattr(throughput, "ROUND_SECONDS", 0)
    scores = throughput.measure(new_slow_encoder(seconds_per_batch=0.001), TEXTS, "cpu").scores
    assert scores.all["gpu_joules_per_1000_texts"] == pytest.approx(4 / 40 * 1000)
