"""The dense transformer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoo.contracts import Encoder, EncoderOutput, Layout
from zoo.layers.attention import SelfAttention
from zoo.layers.feed_forward import FeedForward, SwiGLU
from zoo.layers.rotary import Rotation, rotation


class DenseEncoder(Encoder):
    """A transformer over packed sequences with rotary positions.

    Pre-norm: `x += attention(norm(x)); x += feed_forward(norm(x))`, and one more norm at the end.
    Post-norm: `x = norm(x + attention(x)); x = norm(x + feed_forward(x))`.
    Both put a norm on the embedded input.

    Args:
        width: D, a multiple of twice `num_heads`.
        num_layers: number of blocks.
        num_heads: attention heads a block.
        feed_forward: the position-wise block: `GELU`, `SwiGLU` or `GeGLU`.
        norm: where the layer norms stand, `pre` or `post`.
        rope_base: base of the rotary angles; larger for longer texts.
        dropout: probability of dropping a number of each block's output, and of the embedded input.
        bias: whether attention has biases.

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
        norm: Literal["pre", "post"] = "pre",
        rope_base: float = 10_000.0,
        dropout: float = 0.0,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {dropout}")
        self.width = width
        self.rope_base = rope_base
        self.layers = nn.ModuleList(
            Block(SelfAttention(width, num_heads, bias), feed_forward(width), width, norm, dropout)
            for _ in range(num_layers)
        )
        self.head_dim = width // num_heads
        # a table is initialised small, for tied scores; without this norm the blocks would drown it in a pre-norm model
        self.input_norm = nn.LayerNorm(width, bias=bias)
        self.output_norm = nn.LayerNorm(width, bias=bias) if norm == "pre" else nn.Identity()
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
        angles = rotation(layout, self.head_dim, self.rope_base, torch.promote_types(x.dtype, torch.float32))
        x = self.dropout(self.input_norm(x))
        for block in self.layers:
            x = block(x, layout, angles)
        return EncoderOutput(self.output_norm(x))


class Block(nn.Module):
    """Attention and feed-forward, each with its norm and its residual connection."""

    def __init__(
        self, attention: SelfAttention, feed_forward: FeedForward, width: int, norm: str, dropout: float
    ) -> None:
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f"norm must be 'pre' or 'post', not {norm!r}")
        self.attention = attention
        self.feed_forward = feed_forward
        bias = attention.out.bias is not None
        self.attention_norm = nn.LayerNorm(width, bias=bias)
        self.feed_forward_norm = nn.LayerNorm(width, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.pre = norm == "pre"

    def forward(self, x: Tensor, layout: Layout, angles: Rotation) -> Tensor:
        """One block; shapes as in `DenseEncoder.forward`."""
        if self.pre:
            x = x + self.dropout(self.attention(self.attention_norm(x), layout, angles))
            update: Tensor = self.dropout(self.feed_forward(self.feed_forward_norm(x)))
            return x + update
        x = self.attention_norm(x + self.dropout(self.attention(x, layout, angles)))
        changed: Tensor = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return changed
