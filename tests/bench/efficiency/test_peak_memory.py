from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.efficiency import peak_memory
from bench.protocols import NotApplicableError

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process reset its peak")


@linux
def test_the_peak_is_seen_after_it_was_given_back_and_after_a_higher_one() -> None:
    def use(megabytes: int) -> Callable[[], object]:
        return lambda: np.ones(megabytes * 125_000).sum()

    peak_memory.added_peak(use(200), "cpu")
    assert 48e6 <= peak_memory.added_peak(use(50), "cpu") <= 60e6


@linux
def test_a_model_counts_with_what_a_batch_adds(new_slow_encoder: Callable[..., Any]) -> None:
    class Hungry(new_slow_encoder):  # type: ignore[misc, valid-type]
        def embed(self, batch: Any, route: Any) -> Any:
            np.ones((len(batch), 125_000)).sum()
            return super().embed(batch, route)

    measured = peak_memory.measure(Hungry(size=7_000_000), ["a b"] * 32, "cpu")
    scores = measured.scores.all
    assert 30 <= scores["batch_32/added_mb"] <= 40
    assert scores["batch_1/added_mb"] <= 4
    assert measured.scores.main == pytest.approx(7 + scores["batch_32/added_mb"])


def test_a_system_without_a_readable_peak_gives_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_slow_encoder: Callable[..., Any]
) -> None:
    monkeypatch.setattr(peak_memory, "PROCESS", tmp_path / "absent")
    with pytest.raises(NotApplicableError, match="cannot be read"):
        peak_memory.measure(new_slow_encoder(), ["a"] * 32, "cpu")


def test_a_model_of_unknown_size_gives_no_number(new_slow_encoder: Callable[..., Any]) -> None:
    with pytest.raises(NotApplicableError, match="bytes"):
        peak_memory.measure(new_slow_encoder(size=None), ["a"] * 32, "cpu")
