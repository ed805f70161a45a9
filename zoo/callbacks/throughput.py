"""Logs real tokens per second and the learning rate."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from zoo.objectives.objective import Objective


class Throughput(Callback):
    """Real tokens per second since the last log, validation left out, and the learning rate.

    Args:
        every_n_steps: a multiple of the trainer's `log_every_n_steps`, which drops what falls between.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        self.every_n_steps = every_n_steps
        self._rates: list[float] = []
        self._started = 0.0
        self._tokens = 0
        self._paused = 0.0

    @property
    def median_rate(self) -> float | None:
        """Median over what was logged, in tokens per second; None before the first."""
        return median(self._rates) if self._rates else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._restart(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the clock go on."""
        self._started += time.perf_counter() - self._paused

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log where Lightning logs."""
        if trainer.global_step == 0 or trainer.global_step % self.every_n_steps:
            return
        assert isinstance(pl_module, Objective)
        seconds = time.perf_counter() - self._started
        rate = (pl_module.tokens_seen - self._tokens) / max(seconds, 1e-9)
        self._rates.append(rate)
        pl_module.log("train/tokens_per_second", rate, prog_bar=True)
        pl_module.log("train/tokens_seen", float(pl_module.tokens_seen))
        pl_module.log("train/learning_rate", trainer.optimizers[0].param_groups[0]["lr"])
        self._restart(pl_module)

    def _restart(self, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Objective)
        self._started, self._tokens = time.perf_counter(), pl_module.tokens_seen
