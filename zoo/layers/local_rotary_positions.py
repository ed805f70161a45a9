"""Rotary positions of a body in which most layers see near tokens only."""

from __future__ import annotations

import torch

from zoo.contracts import Layout
from zoo.layers.rotary import Rotation, rotation
from zoo.layers.rotary_positions import RotaryPositions


class LocalRotaryPositions(RotaryPositions):
    """`RotaryPositions`, and in all layers but every `every`-th a token sees `window` tokens on each side of it.

    Layers 0, `every`, 2 `every`, ... see the whole text, as ModernBERT has it. The two kinds have a base of their own:
    places that are near each other need less room than those of a long text.

    Args:
        width: D.
        head_dim: size of a head, even.
        base: base of the angles where the whole text is seen.
        window: tokens on each side, half of what ModernBERT calls `local_attention`.
        every: distance of the layers that see the whole text.
        local_base: base of the angles in the other layers.

    Raises:
        ValueError: if `head_dim` is odd, a base not positive, `window` less than 1 or `every` less than 2.

    References:
        Warner et al., ModernBERT, arXiv 2412.13663, section 2.1; Beltagy et al., Longformer, arXiv 2004.05150.
    """

    def __init__(
        self,
        width: int,
        head_dim: int,
        base: float = 160_000.0,
        window: int = 64,
        every: int = 3,
        local_base: float = 10_000.0,
    ) -> None:
        super().__init__(width, head_dim, base)
        if window < 1:
            raise ValueError(f"window must be at least 1, not {window}")
        if every < 2:
            raise ValueError(f"every must be at least 2, not {every}: where all layers see all, use RotaryPositions")
        if local_base <= 0:
            raise ValueError(f"local_base must be above 0, not {local_base}")
        self.size = window
        self.every = every
        self.local_base = local_base

    def window(self, layer: int) -> int | None:
        """None in layers 0, `every`, 2 `every`, ..."""
        return self.size if layer % self.every else None

    def rotations(self, layout: Layout, dtype: torch.dtype, num_layers: int) -> list[Rotation | None]:
        """Angles of one base or of the other."""
        whole = self.rotation(layout, dtype)
        near = rotation(layout, self.head_dim, self.local_base, torch.promote_types(dtype, torch.float32))
        return [whole if self.window(layer) is None else near for layer in range(num_layers)]
