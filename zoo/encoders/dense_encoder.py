"""The dense transformer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from zoo.contracts import Encoder, EncoderOutput, Layout
from zoo.layers.attention import SelfAttention
from zoo.layers.feed_forward import FeedForward, SwiGLU
from zoo.layers.positions import Positions
from zoo.layers.rotary import Rotation
from zoo.layers.rotary_positions import RotaryPositions


@dataclass(frozen=True)
class Norm:
    """Where the layer norms of a transformer stand, and their epsilon.

    Args:
        place: `pre` or `post`.
        eps: what is added to the variance.

    Raises:
        ValueError: if `place` is neither, or `eps` is not positive.
    """

    place: Literal["pre", "post"] = "pre"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.place not in ("pre", "post"):
            raise ValueError(f"norm must be 'pre' or 'post', not {self.place!r}")
        if self.eps <= 0:
            raise ValueError(f"the eps of a norm must be above 0, not {self.eps}")


class DenseEncoder(Encoder):
    """A transformer over packed sequences.

    Pre-norm: `x += attention(norm(x)); x += feed_forward(norm(x))`, and one more norm at the end.
    Post-norm: `x = norm(x + attention(x)); x = norm(x + feed_forward(x))`.
    Both put a norm on the embedded input.

    Args:
        width: D, a multiple of `num_heads`; of twice that with rotary positions.
        num_layers: number of blocks.
        num_heads: attention heads a block.
        feed_forward: the position-wise block: `GELU`, `SwiGLU` or `GeGLU`.
        norm: where the layer norms stand, `pre` or `post`; a `Norm` (place, eps) sets their epsilon too.
        positions: factory of the positions, given D and the size of a head: `RotaryPositions` or `LearnedPositions`.
        dropout: probability of dropping a number of each block's output, and of the embedded input.
        bias: whether attention and layer norms have biases.

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
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {dropout}")
        self.width = width
        self.norm = norm if isinstance(norm, Norm) else Norm(norm)
        self.layers = nn.ModuleList(
            Block(SelfAttention(width, num_heads, bias), feed_forward(width), width, self.norm, dropout)
            for _ in range(num_layers)
        )
        self.positions = positions(width, width // num_heads)
        # a table is initialised small, for tied scores; without this norm the blocks would drown it in a pre-norm model
        self.input_norm = nn.LayerNorm(width, self.norm.eps, bias=bias)
        self.output_norm = nn.LayerNorm(width, self.norm.eps, bias=bias) if self.norm.place == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self._initialise()

    def _initialise(self) -> None:
        """Normal with deviation 0.02; what writes to the residual stream is scaled by 1 / sqrt(2 layers) (GPT-2)."""
        residual = {block.attention.out for block in self.blocks} | {block.feed_forward.down for block in self.blocks}
        for module in self.modules():
            if isinstance(module, nn.Linear):
                scale = 1 / math.sqrt(2 * len(self.layers)) if module in residual else 1.0
                nn.init.normal_(module.weight, std=0.02 * scale)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def blocks(self) -> list[Block]:
        """The blocks, first to last."""
        return [block for block in self.layers if isinstance(block, Block)]

    def forward(self, x: Float[Tensor, "tokens dim"], layout: Layout) -> EncoderOutput:
        """Hidden vectors of a packed batch."""
        angles = self.positions.rotation(layout, x.dtype)
        x = self.dropout(self.input_norm(self.positions(x, layout)))
        for block in self.layers:
            x = block(x, layout, angles)
        return EncoderOutput(self.output_norm(x))


class Block(nn.Module):
    """Attention and feed-forward, each with its norm and its residual connection."""

    def __init__(
        self, attention: SelfAttention, feed_forward: FeedForward, width: int, norm: Norm, dropout: float
    ) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        bias = attention.out.bias is not None
        self.attention_norm = nn.LayerNorm(width, norm.eps, bias=bias)
        self.feed_forward_norm = nn.LayerNorm(width, norm.eps, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.pre = norm.place == "pre"

    def forward(self, x: Tensor, layout: Layout, angles: Rotation | None) -> Tensor:
        """One block; shapes as in `DenseEncoder.forward`."""
        if self.pre:
            x = x + self.dropout(self.attention(self.attention_norm(x), layout, angles))
            update: Tensor = self.dropout(self.feed_forward(self.feed_forward_norm(x)))
            return x + update
        x = self.attention_norm(x + self.dropout(self.attention(x, layout, angles)))
        changed: Tensor = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return changed
