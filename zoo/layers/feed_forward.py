"""Position-wise feed-forward blocks, one class a shape; built by an encoder as `factory(width)`."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class FeedForward(nn.Module, ABC):
    """A block that changes each token's vector on its own: `down(activate(up(x)))`."""

    up: nn.Linear
    down: nn.Linear

    @abstractmethod
    def activate(self, projected: Float[Tensor, "tokens units"]) -> Float[Tensor, "tokens hidden"]:
        """The hidden units, from what `up` gives; uses no parameter, so that stacked experts can share it."""

    def forward(self, x: Float[Tensor, "tokens dim"]) -> Float[Tensor, "tokens dim"]:
        """The changed vectors."""
        out: Tensor = self.down(self.activate(self.up(x)))
        return out


def _hidden(width: int, dim: int | None, ratio: float) -> int:
    if dim is None:
        return round(ratio * width / 16) * 16 or 16
    if dim < 1:
        raise ValueError(f"the feed-forward width must be at least 1, not {dim}")
    return dim


class GELU(FeedForward):
    """`W2 gelu(W1 x)` with the exact Gaussian error function.

    Args:
        width: D.
        dim: hidden units, 4 D unless given.
        bias: whether the projections have biases.

    References:
        Hendrycks and Gimpel, arXiv 1606.08415.
    """

    def __init__(self, width: int, dim: int | None = None, bias: bool = False) -> None:
        super().__init__()
        hidden = _hidden(width, dim, 4.0)
        self.up = nn.Linear(width, hidden, bias=bias)
        self.down = nn.Linear(hidden, width, bias=bias)

    def activate(self, projected: Float[Tensor, "tokens units"]) -> Float[Tensor, "tokens hidden"]:
        """`gelu` of each unit."""
        return F.gelu(projected)


class _Gated(FeedForward):
    """`W2 (act(Wg x) * (W1 x))`; the hidden width defaults to 8 D / 3, which costs what 4 D costs without a gate."""

    def __init__(self, width: int, dim: int | None = None, bias: bool = False) -> None:
        super().__init__()
        hidden = _hidden(width, dim, 8 / 3)
        self.up = nn.Linear(width, 2 * hidden, bias=bias)
        self.down = nn.Linear(hidden, width, bias=bias)

    @abstractmethod
    def _activate(self, gate: Tensor) -> Tensor: ...

    def activate(self, projected: Float[Tensor, "tokens units"]) -> Float[Tensor, "tokens hidden"]:
        """The second half of the units, each gated by one of the first."""
        gate, value = projected.chunk(2, dim=-1)
        return self._activate(gate) * value


class SwiGLU(_Gated):
    """`W2 (silu(Wg x) * (W1 x))`.

    Args:
        width: D.
        dim: hidden units, 8 D / 3 rounded to a multiple of 16 unless given.
        bias: whether the projections have biases.

    References:
        Shazeer, GLU Variants Improve Transformer, arXiv 2002.05202, equation 6.
    """

    def _activate(self, gate: Tensor) -> Tensor:
        return F.silu(gate)


class GeGLU(_Gated):
    """`W2 (gelu(Wg x) * (W1 x))`.

    Args:
        width: D.
        dim: hidden units, 8 D / 3 rounded to a multiple of 16 unless given.
        bias: whether the projections have biases.

    References:
        Shazeer, GLU Variants Improve Transformer, arXiv 2002.05202, equation 6.
    """

    def _activate(self, gate: Tensor) -> Tensor:
        return F.gelu(gate)
