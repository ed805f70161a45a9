from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from zoo.contracts import PackedBatch
from zoo.layers.rotary import rotation
from zoo.layers.rotary_positions import RotaryPositions


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_angles_are_those_of_the_base(dtype: torch.dtype, make_batch: Callable[..., PackedBatch]) -> None:
    layout = make_batch([5, 2]).layout(causal=False)
    cos, sin = RotaryPositions(16, 8, base=100.0).rotation(layout, dtype)
    expected = rotation(layout, 8, 100.0, torch.promote_types(dtype, torch.float32))
    assert torch.equal(cos, expected[0])
    assert torch.equal(sin, expected[1])


def test_nothing_is_learned() -> None:
    assert not RotaryPositions(16, 8).state_dict()


def test_odd_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="heads of an even size, not 3: change width or num_heads"):
        RotaryPositions(6, 3)
