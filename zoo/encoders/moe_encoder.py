"""The transformer with mixtures of experts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoo.contracts import EncoderOutput, Layout
from zoo.encoders.dense_encoder import Block
from zoo.encoders.transformer import Norm, ResidualBlock, Transformer
from zoo.layers.attention import SelfAttention
from zoo.layers.feed_forward import FeedForward, SwiGLU
from zoo.layers.moe.balance import Balance
from zoo.layers.moe.global_balance import GlobalBalance
from zoo.layers.moe.load import CollapseAlarm, Load
from zoo.layers.moe.mixture_of_experts import MixtureOfExperts
from zoo.layers.moe.router import Gates, Routing
from zoo.layers.positions import Positions
from zoo.layers.rotary import Rotation
from zoo.layers.rotary_positions import RotaryPositions


@dataclass(frozen=True)
class Mixture:
    """What the feed-forward parts of a `MoEEncoder` are made of.

    Args:
        num_experts: E, of each MoE layer.
        top_k: K, experts a token.
        layers: which layers have experts: `alternate` (every second one, the last among them), `all`, or their numbers
            from 0.
        feed_forward: the block that each expert is one of, and that stands in the other layers.
        shared: a block beside the experts that every token uses, if any.
        gates: `raw` probabilities; `normalised` to sum 1, for K above 1; `straight_through`, normalised with the
            gradient of raw ones.
        balance: factory of what keeps the load even, given the number of MoE layers and E: `GlobalBalance`,
            `RunningBalance` or `LossFreeBalance`.
        z_weight: of the router's z-loss, the mean of `logsumexp(logits)^2` (Zoph et al., arXiv 2202.08906).
        up_bias: whether the experts have a first bias where `feed_forward` has one; the paper's have none.
    """

    num_experts: int = 8
    top_k: int = 2
    layers: Literal["alternate", "all"] | list[int] = "alternate"
    feed_forward: Callable[[int], FeedForward] = SwiGLU
    shared: Callable[[int], FeedForward] | None = None
    gates: Gates = "raw"
    balance: Callable[[int, int], Balance] = GlobalBalance
    z_weight: float = 0.0
    up_bias: bool = True

    def check(self) -> None:
        """Refuse numbers that do not fit together; an encoder asks, since a parser would bury the message.

        Raises:
            ValueError: if they do not.
        """
        if self.num_experts < 1:
            raise ValueError(f"num_experts must be at least 1, not {self.num_experts}")
        if not 1 <= self.top_k <= self.num_experts:
            raise ValueError(f"top_k must lie between 1 and num_experts ({self.num_experts}), not {self.top_k}")
        if self.gates not in ("raw", "normalised", "straight_through"):
            raise ValueError(f"gates must be 'raw', 'normalised' or 'straight_through', not {self.gates!r}")
        if self.gates == "normalised" and self.top_k == 1:
            raise ValueError(
                "a normalised gate of one expert is always 1, and the router would learn nothing from "
                "the task: set gates to straight_through or raw, or top_k above 1"
            )
        if not 0 <= self.z_weight < float("inf"):
            raise ValueError(f"z_weight must be at least 0 and finite, not {self.z_weight}")

    def numbers(self, num_layers: int) -> list[int]:
        """Which of `num_layers` layers have experts.

        Raises:
            ValueError: if `layers` names none, one twice, or one that does not exist.
        """
        if self.layers == "all":
            return list(range(num_layers))
        if self.layers == "alternate":
            return list(range((num_layers - 1) % 2, num_layers, 2))
        if isinstance(self.layers, str):
            raise ValueError(f"layers must be 'alternate', 'all' or a list of numbers, not {self.layers!r}")
        found = sorted(set(self.layers))
        if not found or len(found) < len(self.layers) or found[0] < 0 or found[-1] >= num_layers:
            raise ValueError(
                f"layers of mixture must be different numbers from 0 to {num_layers - 1}, at least one, "
                f"not {self.layers}"
            )
        return found


_DEFAULT = Mixture()


class MoEEncoder(Transformer):
    """A transformer over packed sequences in which some feed-forward blocks are mixtures of experts.

    `y_t = b + sum over the K likeliest experts e of g_te W2_e activate(W1_e x_t + b1_e)`, `p_t = softmax(R x_t)`. No
    token is dropped, and none is padding. Router, gates and losses are computed in float32 at least.

    In training `aux_losses` has `balance` and `router_z`, weighted, where their weights are not 0, and `diagnostics`
    the load of each MoE layer. Evaluation has neither and changes no state. What outlives a batch (the statistics of
    `RunningBalance` and `LossFreeBalance`, the alarm of a collapse) moves in `before_step`, once an optimizer step.

    Args:
        width: D, a multiple of `num_heads`; of twice that with rotary positions.
        num_layers: number of blocks.
        num_heads: attention heads a block.
        mixture: which layers have experts, how many, and how tokens reach them.
        norm: where the layer norms stand, `pre` or `post`; a `Norm` (place, eps, first, bias) says more.
        positions: factory of the positions, given D and the size of a head: `RotaryPositions`, `LearnedPositions`, or
            `LocalRotaryPositions`, with which most layers see near tokens only.
        dropout: probability of dropping a number of each block's output, and of the embedded input.
        bias: whether attention and layer norms have biases; those of the experts are an option of `feed_forward`.

    Raises:
        ValueError: if the sizes do not fit together; in `forward`, if a router gives numbers that are not finite.

    References:
        Z. Nussbaum and B. Duderstadt, Training Sparse Mixture Of Experts Text Embedding Models, arXiv 2502.07972.

    Differs from the paper: the first bias of a block is one of each expert unless `mixture.up_bias` is false; the load
    is counted over all processes.
    """

    pending: Tensor

    def __init__(
        self,
        width: int,
        num_layers: int = 4,
        num_heads: int = 4,
        mixture: Mixture = _DEFAULT,
        norm: Literal["pre", "post"] | Norm = "pre",
        positions: Callable[[int, int], Positions] = RotaryPositions,
        dropout: float = 0.0,
        bias: bool = False,
    ) -> None:
        mixture.check()
        norms = norm if isinstance(norm, Norm) else Norm(norm)
        numbers = mixture.numbers(num_layers)

        def block(number: int) -> ResidualBlock:
            attention = SelfAttention(width, num_heads, bias)
            if number not in numbers:
                return Block(attention, mixture.feed_forward(width), norms, dropout)
            chosen = (mixture.num_experts, mixture.top_k, mixture.gates, mixture.shared, mixture.up_bias)
            experts = MixtureOfExperts(width, mixture.feed_forward, *chosen)
            return MoEBlock(attention, experts, norms, dropout)

        super().__init__(width, num_layers, block, lambda: positions(width, width // num_heads), norms, dropout, bias)
        self.mixture = mixture
        self.numbers = numbers
        self.balance = mixture.balance(len(numbers), mixture.num_experts)
        # assignments since the last optimizer step; kept with the weights, so that a resumed run goes on alike
        self.register_buffer("pending", torch.zeros(len(numbers), mixture.num_experts, dtype=torch.int64))
        self._alarm = CollapseAlarm(numbers, mixture.top_k)
        self._step: int | None = None

    def forward(self, x: Float[Tensor, "tokens dim"], layout: Layout) -> EncoderOutput:
        """Hidden vectors of a packed batch, and in training the losses and the load of the routers."""
        x, angles = self._enter(x, layout)
        biases = self.balance.selection_bias()
        routings: list[Routing] = []
        for block, rotation in zip(self.layers, angles, strict=True):
            if isinstance(block, MoEBlock):
                x, routing = block(x, layout, rotation, None if biases is None else biases[len(routings)])
                routings.append(routing)
            else:
                x = block(x, layout, rotation)
        self._check(routings)
        hidden = self.output_norm(x)
        if not self.training:
            return EncoderOutput(hidden)
        load = Load(routings)
        if torch.is_grad_enabled():  # a pass without gradients comes again with them
            self.pending += load.counts
        losses = {"balance": self.balance.loss(load.counts, load.means)}
        if self.mixture.z_weight:
            losses["router_z"] = self.mixture.z_weight * load.squares.mean()
        aux = {name: loss for name, loss in losses.items() if loss is not None}
        return EncoderOutput(hidden, aux, load.diagnostics(self.numbers))

    def before_step(self, step: int) -> None:
        """Once an optimizer step: balance by what was counted since the last one, and warn of a collapse."""
        if step == self._step:
            return
        self._step = step
        self.balance.update(self.pending)
        self._alarm.add(self.pending)
        self.pending.zero_()

    def state_from(self, state: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], Collection[str]]:
        """From a dense encoder, upcycling: each expert a copy of the block in its place; routers start anew.

        With gates of sum 1 this encoder then computes what the dense one does, biases included. What the balance
        remembers is taken from an encoder with the same balance, and what was counted for the next step from none.

        Raises:
            ValueError: if there is a shared expert, which no dense block leaves room for.
        """
        source = dict(super().state_from(state)[0])
        source.pop("pending", None)
        own = self.state_dict()
        memory = {name for name in own if name.startswith("balance.")}
        if any(name not in source or source[name].shape != own[name].shape for name in memory):
            source = {name: tensor for name, tensor in source.items() if not name.startswith("balance.")}
        if f"layers.{self.numbers[0]}.feed_forward.router.linear.weight" not in source:
            self._upcycle(source)
        routers = [name for name in own if ".router." in name]
        return source, [name for name in (*routers, *memory, "pending") if name not in source]

    def _upcycle(self, state: dict[str, Tensor]) -> None:
        """Put copies of the dense blocks in the places of experts."""
        if self.mixture.shared is not None:
            raise ValueError(
                "a shared expert beside copies of a dense block would double it: set mixture.shared to null"
            )
        if self.mixture.gates == "raw":
            warnings.warn(
                "raw gates add up to less than 1, so the mixtures begin smaller than the dense blocks they are copies "
                "of: set mixture.gates to straight_through to begin with what the dense encoder computes",
                stacklevel=2,
            )
        for number in self.numbers:
            block = f"layers.{number}.feed_forward"
            for name in ("up.weight", "up.bias", "down.weight"):
                if (key := f"{block}.{name}") in state:
                    state[key] = state[key].expand(self.mixture.num_experts, *state[key].shape)
            if (key := f"{block}.down.bias") in state:
                state[f"{block}.bias"] = state.pop(key)

    def _check(self, routings: list[Routing]) -> None:
        """Refuse gates that are not finite, in one wait for the device."""
        finite = torch.stack([routing.probabilities.sum() for routing in routings]).isfinite()
        if not finite.all():
            number = self.numbers[finite.tolist().index(False)]
            raise ValueError(
                f"the router of layer {number} gives gates that are not finite: what it reads or its weights are NaN "
                "or infinite; lower the learning rate, clip gradients, or set mixture.z_weight"
            )


class MoEBlock(ResidualBlock):
    """Attention and a mixture of experts."""

    feed_forward: MixtureOfExperts

    @property
    def writers(self) -> tuple[nn.Module, ...]:
        """The maps whose outputs are added to the residual stream."""
        shared = self.feed_forward.shared
        return (self.attention.out, self.feed_forward.down, *(() if shared is None else (shared.down,)))

    def forward(
        self, x: Tensor, layout: Layout, angles: Rotation | None, bias: Tensor | None
    ) -> tuple[Tensor, Routing]:
        """One block and its routing; shapes as in `MoEEncoder.forward`."""
        x = self._attend(x, layout, angles)
        update, routing = self.feed_forward(self._read(x), bias)
        return self._write(x, update), routing
