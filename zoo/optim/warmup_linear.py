"""Warm-up, then a straight line down."""

from __future__ import annotations

from torch.optim import Optimizer

from zoo.optim.schedule import Schedule


class WarmupLinear(Schedule):
    """`f(p) = m + (1 - m) (1 - p)` after the warm-up, with m = `final`.

    Args:
        optimizer: its learning rates are the peak.
        total_steps: optimizer steps of the whole run; the objective supplies it.
        warmup: steps of linear warm-up; below 1 a fraction of the run.
        final: learning rate at the end over the peak.

    References:
        Devlin et al., BERT, arXiv 1810.04805, appendix A.2.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float = 0.06, final: float = 0.0) -> None:
        self.final = final
        super().__init__(optimizer, total_steps, warmup)

    def after_warmup(self, progress: float) -> float:
        """Factor at `progress` in [0, 1]."""
        return self.final + (1 - self.final) * (1 - progress)
