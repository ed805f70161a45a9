"""What the learning-rate schedules share: a factor of the peak learning rate, by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

# The position in the schedule; its shape is the configuration's, so that a resumed run can be made longer.
_STATE = ("base_lrs", "last_epoch", "_step_count", "_last_lr")


class Schedule(LRScheduler, ABC):
    """Linear warm-up from `1 / warmup_steps` to the peak, then what a subclass says.

    Args:
        optimizer: its learning rates are the peak.
        total_steps: optimizer steps of the whole run.
        warmup: steps of warm-up; below 1 a fraction of the run.

    Raises:
        ValueError: if the run has no step or the warm-up is longer than it.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, warmup: float) -> None:
        if total_steps < 1:
            raise ValueError(f"a schedule needs at least one step, not {total_steps}: set trainer.max_steps")
        steps = round(warmup * total_steps) if warmup < 1 else round(warmup)
        if not 0 <= steps <= total_steps:
            raise ValueError(f"warmup of {steps} steps does not fit in a run of {total_steps}: lower schedule.warmup")
        self.total_steps, self.warmup_steps = total_steps, steps
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Learning rate of each parameter group at the present step."""
        factor = self.factor(self.last_epoch)
        return [peak * factor for peak in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        """Where in the schedule the run is."""
        return {key: value for key, value in super().state_dict().items() if key in _STATE}

    def factor(self, step: int) -> float:
        """Learning rate at `step` (from 0) over the peak."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        decay_steps = max(1, self.total_steps - self.warmup_steps)
        return self.after_warmup(min(1.0, (step - self.warmup_steps) / decay_steps))

    @abstractmethod
    def after_warmup(self, progress: float) -> float:
        """Factor at `progress` in [0, 1] of what follows the warm-up."""
