"""Says how much memory training will need, before its first optimizer step."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.peak_memory import forget_peak, peak_bytes, resident_bytes


@dataclass(frozen=True)
class Forecast:
    """Bytes of a training step at its peak.

    Args:
        weights: parameters and buffers.
        gradients: one a trained number.
        optimizer: state of the optimizer.
        activations: what a batch keeps for its backward pass.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """Their sum: gradients of a step live until the forward pass of the next one is done."""
        return self.weights + self.gradients + self.optimizer + self.activations

    def __str__(self) -> str:
        names = ("weights", "gradients", "optimizer", "activations")
        parts = ", ".join(f"{name} {getattr(self, name) / 1e6:,.0f}" for name in names)
        return f"{self.total / 1e6:,.0f} MB ({parts})"


class MemoryForecast(Callback):
    """Foretells the peak memory of training from the first forward pass, and tells at the end what it was.

    What a batch keeps for its backward pass is counted as it is kept, each storage once; the state of the optimizer by
    a step without data. On CUDA the peak is that of the allocator, elsewhere what the process has beyond what it had
    before the first batch, and the weights.

    Attributes:
        forecast: None before the first batch.
        peak: bytes, at the end of training; None where the system does not tell.
    """

    def __init__(self) -> None:
        self.forecast: Forecast | None = None
        self.peak: int | None = None
        self._before: int | None = None
        self._kept: _Kept | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what is there beside the model; what building it took is over."""
        resident = resident_bytes()
        if resident is not None:
            forget_peak()
            self._before = resident - sum(_storages([*pl_module.parameters(), *pl_module.buffers()]).values())
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Begin to count at the first batch."""
        if self.forecast is None and self._kept is None:
            self._kept = _Kept(_storages([*pl_module.parameters(), *pl_module.buffers()]))
            self._kept.__enter__()

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Say what will be needed."""
        if self._kept is None:
            return
        self._kept.__exit__(None, None, None)
        own = _storages([*pl_module.parameters(), *pl_module.buffers()])
        trained = [p for p in pl_module.parameters() if p.requires_grad]
        self.forecast = Forecast(
            weights=sum(own.values()),
            gradients=sum(p.numel() * p.element_size() for p in trained),
            optimizer=sum(state_bytes(optimizer) for optimizer in trainer.optimizers),
            activations=sum(self._kept.storages.values()),
        )
        self._kept = None
        if trainer.is_global_zero:
            sys.stderr.write(f"zoo: memory of training, foretold: {self.forecast}\n")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what was needed."""
        if pl_module.device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(pl_module.device)
        elif self._before is not None:
            self.peak = peak_bytes() - self._before
        if self.peak is not None and trainer.is_global_zero:
            sys.stderr.write(f"zoo: memory of training, peak: {self.peak / 1e6:,.0f} MB\n")


class _Kept(torch.autograd.graph.saved_tensors_hooks):
    """Counts the storages that autograd keeps, but for those of weights."""

    def __init__(self, weights: dict[int, int]) -> None:
        self.storages: dict[int, int] = {}
        self._weights = weights
        super().__init__(self._keep, lambda tensor: tensor)

    def _keep(self, tensor: Tensor) -> Tensor:
        self.storages.update({key: size for key, size in _storages([tensor]).items() if key not in self._weights})
        return tensor.detach()  # the tensor itself would hold the graph that holds it


def state_bytes(optimizer: Optimizer) -> int:
    """Bytes of the state that an optimizer has, or will have: by a step of a copy on parameters without data.

    Args:
        optimizer: stays as it is.
    """
    if not optimizer.state:
        own = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        bare = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in own}
        optimizer = copy.deepcopy(optimizer, dict(bare))
        for each in (optimizer, *(value for value in vars(optimizer).values() if isinstance(value, Optimizer))):
            for group in each.param_groups:
                group.update(fused=False, foreach=False)
        for parameter in bare.values():
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
        optimizer.step()
    tensors = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Bytes of each storage by its address."""
    found = (tensor.untyped_storage() for tensor in tensors)
    return {storage.data_ptr(): storage.nbytes() for storage in found}
