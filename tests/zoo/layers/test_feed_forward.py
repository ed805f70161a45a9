from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.layers.feed_forward import GELU, FeedForward, GeGLU, SwiGLU

WIDTH = 12


def plain(block: FeedForward, x: Tensor) -> Tensor:
    """The formulas of the docstrings."""
    up, down = block.get_submodule("up").weight, block.down.weight
    assert isinstance(up, Tensor)
    if isinstance(block, GELU):
        return F.gelu(x @ up.T) @ down.T
    gate, value = up[: len(up) // 2], up[len(up) // 2 :]
    activate = F.silu if isinstance(block, SwiGLU) else F.gelu
    return (activate(x @ gate.T) * (x @ value.T)) @ down.T


@pytest.mark.parametrize("kind", [GELU, SwiGLU, GeGLU])
def test_formula(kind: type[FeedForward], assert_close: Callable[..., None]) -> None:
    torch.manual_seed(0)
    block = kind(WIDTH).double()
    x = torch.randn(5, WIDTH, dtype=torch.float64)
    assert_close(block(x), plain(block, x))


@pytest.mark.parametrize(("kind", "hidden"), [(GELU, 4 * 96), (SwiGLU, 8 * 96 // 3), (GeGLU, 8 * 96 // 3)])
def test_default_sizes_cost_the_same(kind: type[FeedForward], hidden: int) -> None:
    block = kind(96)
    assert block.down.in_features == hidden
    assert sum(p.numel() for p in block.parameters()) == 8 * 96 * 96


@pytest.mark.parametrize("kind", [GELU, SwiGLU, GeGLU])
def test_given_sizes_and_biases(kind: type[FeedForward]) -> None:
    block = kind(WIDTH, dim=7, bias=True)
    assert block.down.in_features == 7
    assert block.down.bias is not None
    with pytest.raises(ValueError, match="at least 1, not 0"):
        kind(WIDTH, dim=0)
