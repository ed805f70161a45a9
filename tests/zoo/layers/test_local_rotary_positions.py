from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from zoo.contracts import PackedBatch
from zoo.layers.local_rotary_positions import LocalRotaryPositions
from zoo.layers.rotary import rotation

Make = Callable[..., PackedBatch]


def test_each_kind_of_layer_has_its_window_and_its_base(make_batch: Make) -> None:
    layout = make_batch([5, 2]).layout(causal=False)
    positions = LocalRotaryPositions(16, 8, base=100.0, window=2, every=3, local_base=10.0)
    assert [positions.window(layer) for layer in range(5)] == [None, 2, 2, None, 2]
    found = positions.rotations(layout, torch.bfloat16, 5)
    for layer, angles in enumerate(found):
        assert angles is not None
        expected = rotation(layout, 8, 100.0 if layer % 3 == 0 else 10.0)
        assert all(torch.equal(a, e) for a, e in zip(angles, expected, strict=True))


def test_nothing_is_learned() -> None:
    assert not LocalRotaryPositions(16, 8).state_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window must be at least 1, not 0"),
        ({"every": 1}, "every must be at least 2, not 1: where all layers see all, use RotaryPositions"),
        ({"base": 0.0}, "base must be above 0, not 0.0"),
        ({"local_base": -1.0}, "local_base must be above 0, not -1.0"),
    ],
)
def test_what_does_not_fit(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LocalRotaryPositions(16, 8, **options)  # type: ignore[arg-type]
