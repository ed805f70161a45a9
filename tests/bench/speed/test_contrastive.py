from __future__ import annotations

import sys

import pytest

from bench.speed import contrastive
from bench.speed.contrastive import Setting

TINY = Setting(width=16, layers=1, heads=2, vocabulary=64)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_both_ways_are_timed(precision: str) -> None:
    packed = contrastive.measure_packed(precision, 8, 1, TINY)
    assert list(packed) == [contrastive.PACKED, contrastive.PADDED]
    chunks = contrastive.measure_chunks(precision, 8, 4, 1, TINY)
    assert list(chunks) == [contrastive.AT_ONCE, contrastive.IN_CHUNKS]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: reads the peak of a part of a process")
def test_a_large_batch_needs_little_more_than_a_chunk() -> None:
    small, large, vectors = contrastive.measure_memory(1024, 256, Setting(width=64, layers=2, heads=2, vocabulary=64))
    assert vectors == 4 * 1024 * 64 * 4
    assert 0 < large < 1.3 * small
