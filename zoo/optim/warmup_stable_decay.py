"""Warm-up, a plateau, then a straight line down."""

from __future__ import annotations

from torch.optim import Optimizer

from zoo.optim.schedule import Schedule


class WarmupStableDecay(Schedule):
    """`f(p) = 1` until `p = 1 - decay`, then linear to m = `final` (WSD).

    Args:
        optimizer: its learning rates are the peak.
        total_steps: optimizer steps of the whole run; the objective supplies it.
        warmup: steps of linear warm-up; below 1 a fraction of the run.
        decay: share of what follows the warm-up in which the learning rate falls, in (0, 1].
        final: learning rate at the end over the peak.

    Raises:
        ValueError: if `decay` is out of range.

    References:
        Hu et al., MiniCPM, arXiv 2404.06395, section 4.
    """

    def __init__(
        self, optimizer: Optimizer, total_steps: int, warmup: float = 0.06, decay: float = 0.2, final: float = 0.0
    ) -> None:
        if not 0 < decay <= 1:
            raise ValueError(f"decay must lie in (0, 1], not {decay}")
        self.decay, self.final = decay, final
        super().__init__(optimizer, total_steps, warmup)

    def after_warmup(self, progress: float) -> float:
        """Factor at `progress` in [0, 1]."""
        return 1 - (1 - self.final) * max(0.0, progress - (1 - self.decay)) / self.decay
