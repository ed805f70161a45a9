from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from zoo.contracts import PackedBatch
from zoo.layers.pooling import mean_pool


def test_mean_of_each_sequence(make_batch: Callable[..., PackedBatch], assert_close: Callable[..., None]) -> None:
    lengths = [2, 1, 4]
    hidden = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    pooled = mean_pool(hidden, make_batch(lengths).layout(causal=False))
    expected = torch.stack([part.mean(0) for part in hidden.split(lengths)])
    assert_close(pooled, expected)
    pooled.sum().backward()
    assert hidden.grad is not None
    assert_close(hidden.grad[:, 0], torch.tensor([1 / n for n in lengths for _ in range(n)]).double(), torch.float32)


def test_half_precision_is_summed_in_single(make_batch: Callable[..., PackedBatch]) -> None:
    hidden = torch.ones(1000, 2, dtype=torch.bfloat16)
    hidden[0] = 1000  # a running sum in bfloat16 would stand still at 1000
    pooled = mean_pool(hidden, make_batch([1000]).layout(causal=False))
    assert pooled.dtype == torch.float32
    assert pooled[0].tolist() == pytest.approx([(1000 + 999) / 1000] * 2, rel=1e-6)
