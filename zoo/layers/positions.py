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
