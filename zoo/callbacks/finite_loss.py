"""Stops a run whose loss is no number any more."""

from __future__ import annotations

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


class FiniteLoss(Callback):
    """Raises before the backward pass of a step whose loss is NaN or infinite, so that no weight is touched by it.

    On an accelerator the check waits for the device, so it is made every `every_n_steps` there; on a CPU at each step.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        self.every_n_steps = every_n_steps

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Check the loss.

        Raises:
            ValueError: if it is not finite.
        """
        if loss.is_cuda and trainer.global_step % self.every_n_steps:
            return
        if not torch.isfinite(loss):
            rates = [
                group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups if group["params"]
            ]
            raise ValueError(
                f"the loss is {loss.item()} at step {trainer.global_step} (learning rate {max(rates):.2g}): "
                "lower model.optimizer.lr, lengthen model.schedule.warmup or set trainer.gradient_clip_val, "
                "and go on from the last checkpoint with --ckpt_path last"
            )
