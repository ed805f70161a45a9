"""Constant for some epochs, then a factor after each."""

from __future__ import annotations

from torch.optim import Optimizer

from zoo.optim.schedule import Schedule


class EpochDecay(Schedule):
    """`f = factor^max(0, e + 1 - constant_epochs)` in epoch e (from 0), without a warm-up.

    The run is cut into `epochs` parts of equal length, so that an epoch is one of the data where `epochs` is
    `trainer.max_epochs`. A run that is made longer keeps its epochs if both are raised together.

    Args:
        optimizer: its learning rates are the peak.
        total_steps: optimizer steps of the whole run; the objective supplies it.
        epochs: number of epochs of the whole run.
        constant_epochs: epochs at the peak, at least 1.
        factor: what the learning rate is multiplied with at the begin of each later epoch, in (0, 1].

    Raises:
        ValueError: if an option is out of range.

    References:
        W. Zaremba, I. Sutskever and O. Vinyals, Recurrent Neural Network Regularization, arXiv 1409.2329, section 4.1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        epochs: int = 40,
        constant_epochs: int = 5,
        factor: float = 0.9,
    ) -> None:
        if epochs < 1 or constant_epochs < 1:
            raise ValueError(f"epochs={epochs} and constant_epochs={constant_epochs}: set both to at least 1")
        if not 0 < factor <= 1:
            raise ValueError(f"factor must lie in (0, 1], not {factor}")
        self.epochs, self.constant_epochs, self.decay = epochs, constant_epochs, factor
        super().__init__(optimizer, total_steps, warmup=0.0)

    def after_warmup(self, progress: float) -> float:
        """Factor at `progress` in [0, 1]; at 1 that of the epoch after the last, for a run that is made longer."""
        epoch = round(progress * self.total_steps) * self.epochs // self.total_steps
        return float(self.decay ** max(0, epoch + 1 - self.constant_epochs))
