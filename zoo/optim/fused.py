"""torch's fused optimizer steps, where nobody chose otherwise."""

from __future__ import annotations

from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

_DEVICES = ("cpu", "cuda")


def prefer_fused(optimizer: Optimizer) -> None:
    """Step groups of torch's optimizers in one pass over each parameter, its gradient and its state.

    That is the same step up to rounding. torch's own choice on a CPU is a pass for each operation, which under a large
    vocabulary takes half of a training step (`zoo bench speed optimizer`).

    Left as they are: groups where `fused` or `foreach` was set, that a gradient must pass through, or that an optimizer
    steps by a rule of its own (coupled tables), and sharded parameters or devices without such a step.

    Args:
        optimizer: before its first step.
    """
    for group in optimizer.param_groups:
        chosen = group.get("fused", False) is not None or group.get("foreach") is not None
        if chosen or group.get("differentiable") or group.get("coupled"):
            continue
        parameters = group["params"]
        group["fused"] = all(
            p.device.type in _DEVICES and p.is_floating_point() and not isinstance(p, DTensor) for p in parameters
        )
