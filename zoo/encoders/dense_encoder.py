"""The dense transformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from zoo.contracts import EncoderOutput, Layout
from zoo.encoders.transformer import Norm, ResidualBlock, Transformer
from zoo.layers.attention import SelfAttention
from zoo.layers.feed_forward import FeedForward, SwiGLU
from zoo.layers.positions import Positions
from zoo.layers.rotary import Rotation
from zoo.layers.rotary_positions import RotaryPositions

__all__ = ["Block", "DenseEncoder", "Norm"]


class DenseEncoder(Transformer):
    """A transformer over packed sequences.

    Pre-norm: `x += attention(norm(x)); x += feed_forward(norm(x))`, and one more norm at the end.
    Post-norm: `x = norm(x + attention(x)); x = norm(x + feed_forward(x))`.
    Both put a norm on the embedded input.

    Args:
        width: D, a multiple of `num_heads`; of twice that with rotary positions.
        num_layers: number of blocks.
        num_heads: attention heads a block.
        feed_forward: the position-wise block: `GELU`, `SwiGLU` or `GeGLU`.
        norm: where the layer norms stand, `pre` or `post`; a `Norm` (place, eps, first, bias) says more.
        positions: factory of the positions, given D and the size of a head: `RotaryPositions`, `LearnedPositions`, or
            `LocalRotaryPositions`, with which most layers see near tokens only.
        dropout: probability of dropping a number of each block's output, and of the embedded input.
        bias: whether attention and layer norms have biases (the norms unless `norm` says so).

    Raises:
        ValueError: if the sizes do not fit together.

    References:
        Vaswani et al., arXiv 1706.03762; Xiong et al. on pre- and post-norm, arXiv 2002.04745;
        Su et al. on rotary positions, arXiv 2104.09864.
    """

    def __init__(
        self,
        width: int,
        num_layers: int = 4,
        num_heads: int = 4,
        feed_forward: Callable[[int], FeedForward] = SwiGLU,
        norm: Literal["pre", "post"] | Norm = "pre",
        positions: Callable[[int, int], Positions] = RotaryPositions,
        dropout: float = 0.0,
        bias: bool = False,
    ) -> None:
        norms = norm if isinstance(norm, Norm) else Norm(norm)

        def block(number: int) -> Block:
            return Block(SelfAttention(width, num_heads, bias), feed_forward(width), norms, dropout)

        super().__init__(width, num_layers, block, lambda: positions(width, width // num_heads), norms, dropout, bias)

    @property
    def blocks(self) -> list[Block]:
        """The blocks, first to last."""
        return [block for block in self.layers if isinstance(block, Block)]

    def forward(self, x: Float[Tensor, "tokens dim"], layout: Layout) -> EncoderOutput:
        """Hidden vectors of a packed batch."""
        x, angles = self._enter(x, layout)
        for block, rotation in zip(self.layers, angles, strict=True):
            x = block(x, layout, rotation)
        return EncoderOutput(self.output_norm(x))


class Block(ResidualBlock):
    """Attention and one feed-forward block."""

    feed_forward: FeedForward

    @property
    def writers(self) -> tuple[nn.Module, ...]:
        """The maps whose outputs are added to the residual stream."""
        return (self.attention.out, self.feed_forward.down)

    def forward(self, x: Tensor, layout: Layout, angles: Rotation | None) -> Tensor:
        """One block; shapes as in `DenseEncoder.forward`."""
        x = self._attend(x, layout, angles)
        return self._write(x, self.feed_forward(self._read(x)))
