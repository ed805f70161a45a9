"""What the routing of a batch says of its load, and the alarm of a collapse."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zoo.layers.moe.router import Routing


class Load:
    """Sums over the tokens of a training batch, of all MoE layers at once.

    Args:
        routings: of each MoE layer.

    Attributes:
        counts: assignments of each expert, over all processes, int64 (layers, experts).
        means: mean probability of each expert over this process's tokens, with a gradient.
        squares: mean of `logsumexp(logits)^2`, with a gradient.
    """

    counts: Int[Tensor, "layers experts"]
    means: Float[Tensor, "layers experts"]
    squares: Float[Tensor, " layers"]

    def __init__(self, routings: Sequence[Routing]) -> None:
        probabilities = torch.stack([routing.probabilities for routing in routings])
        self._tokens = max(1, probabilities.shape[1])
        self.means = probabilities.sum(1) / self._tokens
        logits = torch.stack([routing.logits for routing in routings])
        self.squares = logits.logsumexp(-1).square().sum(1) / self._tokens
        experts = torch.stack([routing.experts.flatten() for routing in routings])
        self.counts = torch.zeros_like(self.means, dtype=torch.int64).scatter_add_(1, experts, torch.ones_like(experts))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.counts)
        self._probabilities, self._experts = probabilities.detach(), experts

    def diagnostics(self, numbers: Sequence[int]) -> Mapping[str, Tensor]:
        """Scalars by name, for each MoE layer.

        `max_load`: largest share of the assignments that an expert has, times E (1 is even); `load_deviation`: standard
        deviation of the load over its mean; `dead_experts`: experts without a token; `entropy`: of the probabilities,
        mean over tokens, over that of even ones; `gate_mass`: probability of the chosen experts, mean over tokens.

        Args:
            numbers: of the MoE layers.
        """
        num_experts = self.counts.shape[1]
        load = self.counts / self.counts.float().mean(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        entropy = torch.special.entr(self._probabilities).sum((1, 2)) / self._tokens
        chosen = self._probabilities.gather(2, self._experts.view(*self._probabilities.shape[:2], -1))
        found = {
            "max_load": load.amax(1),
            "load_deviation": load.std(1, correction=0),
            "dead_experts": (self.counts == 0).sum(1).float(),
            "entropy": entropy / max(torch.tensor(num_experts).log().item(), 1e-12),
            "gate_mass": chosen.sum((1, 2)) / self._tokens,
        }
        return {f"layer{n}/{name}": value[i] for name, value in found.items() for i, n in enumerate(numbers)}


class CollapseAlarm:
    """Warns, once, when the tokens of a window of steps go to few experts.

    A layer has collapsed where one expert takes more than 70 % of the tokens (of those beyond its even share, where
    that alone is large), or half of the experts or more take none. A collapse fills a window at most 50 steps after
    it began.

    Args:
        numbers: of the MoE layers.
        top_k: experts a token.
    """

    WINDOW = 25

    def __init__(self, numbers: Sequence[int], top_k: int) -> None:
        self.numbers, self.top_k = numbers, top_k
        self._counts: Tensor | None = None
        self._steps, self._warned = 0, False

    def add(self, counts: Int[Tensor, "layers experts"]) -> None:
        """Count a step, and judge the window where this is its last one."""
        if self._warned:
            return
        self._counts = counts.clone() if self._counts is None else self._counts + counts
        self._steps += 1
        if self._steps == self.WINDOW:
            self._judge(self._counts)
            self._counts, self._steps = None, 0

    def _judge(self, counts: Tensor) -> None:
        even = self.top_k / counts.shape[1]
        share = self.top_k * counts.amax(1) / counts.sum(1).clamp(min=1)
        dead = (counts == 0).sum(1)
        collapsed = (share > max(0.7, (1 + even) / 2)) | (2 * dead >= counts.shape[1])
        for number, bad, top, idle in zip(self.numbers, collapsed, share, dead, strict=True):
            if bad and counts.any():
                self._warned = True
                warnings.warn(
                    f"the experts of layer {number} have collapsed: in {self.WINDOW} steps one took {top:.0%} of the "
                    f"tokens and {idle} of {counts.shape[1]} took none: raise the weight of mixture.balance, or use "
                    "LossFreeBalance",
                    stacklevel=2,
                )
                return
