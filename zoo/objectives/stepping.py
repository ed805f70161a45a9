"""One optimizer step of a model some of whose tables step themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from zoo.contracts import SelfUpdating


class SteppingModule(LightningModule):
    """Clips and steps the parameters, and beside the optimizer what steps itself, at the rate of its group."""

    @property
    def self_updating(self) -> list[SelfUpdating]:
        """The modules that step weights of their own."""
        return [module for module in self.modules() if isinstance(module, SelfUpdating)]

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by one norm over the parameters and what steps itself.

        Raises:
            ValueError: for clipping by value of weights that step themselves.
        """
        if not gradient_clip_val:
            return
        if self.self_updating and gradient_clip_algorithm == "value":
            raise ValueError(
                "the gradient of an output table that steps itself is known by its norm only: "
                "set trainer.gradient_clip_algorithm: norm"
            )
        if gradient_clip_algorithm == "value" or not self._gradients_are_whole:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norms = [torch.nn.utils.get_total_norm(gradients), *(module.gradient_norm() for module in self.self_updating)]
        factor = (gradient_clip_val / (torch.stack(norms).norm() + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(gradients, factor)
        for module in self.self_updating:
            module.scale_gradient(factor)

    @property
    def _gradients_are_whole(self) -> bool:
        """Whether each process has the gradients as they are, neither sharded nor scaled."""
        whole = isinstance(self.trainer.strategy, SingleDeviceStrategy | DDPStrategy)
        return whole and not str(self.trainer.precision).startswith("16")

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Step the parameters, then what steps itself, each at the learning rate of its group."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.apply_own_gradients(optimizer)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Forget all gradients."""
        super().optimizer_zero_grad(epoch, batch_idx, optimizer)
        for module in self.self_updating:
            module.drop_gradient()

    def apply_own_gradients(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Step what steps itself, each module at the learning rate of its group in `optimizer`."""
        rates = [group["lr"] for group in optimizer.param_groups if group.get("role") == "own"]
        for module, rate in zip(self.self_updating, rates, strict=True):
            module.apply_gradient(rate)

    def keep_from_broadcasts(self) -> None:
        """What steps itself is the same on all processes: DDP need not send it before every step."""
        own = {id(buffer) for module in self.self_updating for buffer in module.buffers()}
        names = [name for name, buffer in self.named_buffers() if id(buffer) in own]
        # the one door that torch has for it
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, names)

    def check_self_updating(self) -> None:
        """Before training: all processes begin with the same tables.

        Raises:
            ValueError: if a strategy or callback would not keep a table that steps itself as it is.
        """
        if not self.self_updating:
            return
        if not isinstance(self.trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            raise ValueError(
                f"a table that steps itself is whole on every device, and {type(self.trainer.strategy).__name__} is "
                "not known to keep it so: set trainer.strategy to auto or ddp"
            )
        averaging = (StochasticWeightAveraging, WeightAveraging)
        if any(isinstance(callback, averaging) for callback in self.trainer.callbacks):  # type: ignore[attr-defined]
            raise ValueError(
                "a table that steps itself is kept in factors, whose mean is not the mean of tables: "
                "leave callbacks that average weights out"
            )
        if self.trainer.world_size > 1:
            for module in self.self_updating:
                for buffer in module.buffers():
                    torch.distributed.broadcast(buffer, 0)
