"""A feed-forward layer of which each token uses a part."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoo.layers.feed_forward import FeedForward
from zoo.layers.moe.groups import Groups
from zoo.layers.moe.router import Gates, Router, Routing
from zoo.layers.moe.stacked_linear import StackedLinear


class MixtureOfExperts(nn.Module):
    """`y = b + shared(x) + sum over the chosen experts e of g_e W2_e activate(W1_e x + b1_e)`; no token is dropped.

    Under autocast the products run in its type; router, gates and the sum over experts do not.

    Args:
        width: D.
        feed_forward: factory of a block that says the shape, the activation and the biases of an expert. The first
            bias is one of each expert, the last one is added once.
        num_experts: E.
        top_k: K, experts a token.
        gates: `raw`, `normalised` or `straight_through`, see `Router`.
        shared: factory of a block that every token uses.
        up_bias: whether the experts have a first bias where their block has one.
    """

    def __init__(
        self,
        width: int,
        feed_forward: Callable[[int], FeedForward],
        num_experts: int,
        top_k: int,
        gates: Gates = "raw",
        shared: Callable[[int], FeedForward] | None = None,
        up_bias: bool = True,
    ) -> None:
        super().__init__()
        with torch.device("meta"):  # for its sizes alone
            one = feed_forward(width)
        self.activate = one.activate
        self.num_experts = num_experts
        self.router = Router(width, num_experts, top_k, gates)
        self.up = StackedLinear(num_experts, width, one.up.out_features, up_bias and one.up.bias is not None)
        self.down = StackedLinear(num_experts, one.down.in_features, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(width)) if one.down.bias is not None else None
        self.shared = shared(width) if shared is not None else None

    def forward(
        self, x: Float[Tensor, "tokens dim"], bias: Float[Tensor, " experts"] | None = None
    ) -> tuple[Float[Tensor, "tokens dim"], Routing]:
        """The changed vectors and who changed them.

        Args:
            x: what the experts read.
            bias: added to the probabilities where experts are chosen, and nowhere else.
        """
        routing: Routing = self.router(x, bias)
        groups = Groups.of(routing.experts, self.num_experts)
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        with torch.autocast(device, enabled=False):
            rows = self.up(groups.spread(x.to(dtype)), groups)
            out = groups.combine(self.down(self.activate(rows), groups), routing.gates)
            if self.bias is not None:
                out = out + self.bias.to(dtype)
        return (out if self.shared is None else out + self.shared(x)), routing
