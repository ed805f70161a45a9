"""The contract of positions: how a body learns where in its sequence a token stands."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoo.contracts import Layout
from zoo.layers.rotary import Rotation


class Positions(nn.Module, ABC):
    """Tells the embedded input or attention where tokens stand; built by an encoder as `factory(width, head_dim)`."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "tokens dim"], layout: Layout) -> Float[Tensor, "tokens dim"]:
        """The embedded input, with what these positions add to it."""

    @abstractmethod
    def rotation(self, layout: Layout, dtype: torch.dtype) -> Rotation | None:
        """The angles that queries and keys are rotated by, or None.

        Args:
            layout: offsets of the sequences.
            dtype: type of the embedded input; angles are float32 at least.
        """

    def window(self, layer: int) -> int | None:
        """How many tokens a token sees on each side in a layer, counted from 0; None where it sees its whole text."""
        return None

    def rotations(self, layout: Layout, dtype: torch.dtype, num_layers: int) -> list[Rotation | None]:
        """`rotation` for each layer, the same for all unless a subclass says otherwise."""
        return [self.rotation(layout, dtype)] * num_layers
