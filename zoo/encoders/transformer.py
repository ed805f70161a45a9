"""What the transformers share: positions, attention, norms and residual connections."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from zoo.contracts import Encoder, Layout
from zoo.layers.attention import SelfAttention
from zoo.layers.moe.stacked_linear import StackedLinear
from zoo.layers.positions import Positions
from zoo.layers.rotary import Rotation


@dataclass(frozen=True)
class Norm:
    """Where the layer norms of a transformer stand, their epsilon and their biases.

    Args:
        place: `pre` or `post`.
        eps: what is added to the variance.
        first: whether there is one before the first attention, behind that of the embedded input (`pre` only).
        bias: whether they have biases; None for as attention has them.

    Raises:
        ValueError: if `place` is neither, `eps` is not positive, or `first` is false with `post`.
    """

    place: Literal["pre", "post"] = "pre"
    eps: float = 1e-5
    first: bool = True
    bias: bool | None = None

    def __post_init__(self) -> None:
        if self.place not in ("pre", "post"):
            raise ValueError(f"norm must be 'pre' or 'post', not {self.place!r}")
        if self.eps <= 0:
            raise ValueError(f"the eps of a norm must be above 0, not {self.eps}")
        if self.place == "post" and not self.first:
            raise ValueError("norm post has no norm before the first attention: leave first as it is, or set place pre")

    def build(self, width: int, bias: bool) -> nn.LayerNorm:
        """One norm, with a bias if `bias` and nothing else is said."""
        return nn.LayerNorm(width, self.eps, bias=bias if self.bias is None else self.bias)


class Transformer(Encoder):
    """A transformer over packed sequences; a subclass says what a block does behind its attention.

    Args:
        width: D.
        num_layers: number of blocks.
        make_block: the block of each layer, by its number.
        positions: makes the positions.
        norm: where the layer norms stand.
        dropout: probability of dropping a number of the embedded input.
        bias: whether layer norms have biases, unless `norm` says so.

    Raises:
        ValueError: if there is no layer, or `dropout` is no probability below 1.
    """

    input_parts = ("positions", "input_norm")

    def __init__(
        self,
        width: int,
        num_layers: int,
        make_block: Callable[[int], ResidualBlock],
        positions: Callable[[], Positions],
        norm: Norm,
        dropout: float,
        bias: bool,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, not {num_layers}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {dropout}")
        self.width = width
        self.norm = norm
        self.layers = nn.ModuleList(make_block(number) for number in range(num_layers))
        self.positions = positions()
        # a table is initialised small, for tied scores; without this norm the blocks would drown it in a pre-norm model
        self.input_norm = norm.build(width, bias)
        self.output_norm = norm.build(width, bias) if norm.place == "pre" else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        if not norm.first:
            self.blocks[0].attention_norm = nn.Identity()
        for number, block in enumerate(self.blocks):
            block.attention.window = self.positions.window(number)
        self._initialise()

    def _initialise(self) -> None:
        """Normal with deviation 0.02; what writes to the residual stream is scaled by 1 / sqrt(2 layers) (GPT-2)."""
        residual = {module for block in self.blocks for module in block.writers}
        for module in self.modules():
            if isinstance(module, nn.Linear | StackedLinear):
                scale = 1 / math.sqrt(2 * len(self.layers)) if module in residual else 1.0
                nn.init.normal_(module.weight, std=0.02 * scale)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def blocks(self) -> Sequence[ResidualBlock]:
        """The blocks, first to last."""
        return [block for block in self.layers if isinstance(block, ResidualBlock)]

    def state_from(self, state: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], Collection[str]]:
        """The state without learned positions where this encoder's are not learned; training must make up for them."""
        own = self.state_dict()
        left_out = [name for name in state if name.startswith("positions.") and name not in own]
        if left_out:
            warnings.warn(
                f"learned positions are left out, since this encoder has {type(self.positions).__name__}: give it "
                "LearnedPositions to begin with what the other computes",
                stacklevel=2,
            )
        return {name: tensor for name, tensor in state.items() if name not in left_out}, ()

    def _enter(self, x: Tensor, layout: Layout) -> tuple[Tensor, list[Rotation | None]]:
        """What the first block gets: the embedded input with its positions; and the angles of each block."""
        angles = self.positions.rotations(layout, x.dtype, len(self.layers))
        return self.dropout(self.input_norm(self.positions(x, layout))), angles


class ResidualBlock(nn.Module):
    """Attention and a feed-forward part, each with its norm and its residual connection.

    Args:
        attention: of the block.
        feed_forward: what follows it; a subclass calls it.
        norm: where the layer norms stand.
        dropout: probability of dropping a number of an update.
    """

    attention_norm: nn.Module

    def __init__(self, attention: SelfAttention, feed_forward: nn.Module, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        width, bias = attention.out.out_features, attention.out.bias is not None
        self.attention_norm = norm.build(width, bias)
        self.feed_forward_norm = norm.build(width, bias)
        self.dropout = nn.Dropout(dropout)
        self.pre = norm.place == "pre"

    @property
    def writers(self) -> tuple[nn.Module, ...]:
        """The maps whose outputs are added to the residual stream."""
        return (self.attention.out,)

    def _attend(self, x: Tensor, layout: Layout, angles: Rotation | None) -> Tensor:
        if self.pre:
            updated: Tensor = x + self.dropout(self.attention(self.attention_norm(x), layout, angles))
            return updated
        mixed: Tensor = self.attention_norm(x + self.dropout(self.attention(x, layout, angles)))
        return mixed

    def _read(self, x: Tensor) -> Tensor:
        """What the feed-forward part sees."""
        seen: Tensor = self.feed_forward_norm(x) if self.pre else x
        return seen

    def _write(self, x: Tensor, update: Tensor) -> Tensor:
        """Add what the feed-forward part says."""
        total = x + self.dropout(update)
        changed: Tensor = total if self.pre else self.feed_forward_norm(total)
        return changed
