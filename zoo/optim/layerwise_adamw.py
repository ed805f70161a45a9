"""AdamW with a learning rate for each layer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim import AdamW

# Rates of the first and the last layer may be as far apart as single precision reaches.
_MOST_LOG_RATIO = math.log(1e38)


class LayerwiseAdamW(AdamW):
    """`torch.optim.AdamW` with learning rate `lr * decay^(L - l)` in layer l of L.

    The embedding, and what the encoder does before its first layer, is layer 0; what stands behind the last layer is
    layer L. A schedule multiplies all rates by one factor.

    Args:
        params: groups of `zoo.optim.groups.by_role`.
        lr: learning rate of the last layer.
        betas: decay of the first and the second moment.
        eps: added to the root.
        weight_decay: of matrices, decoupled, times the learning rate of their layer.
        layer_decay: decay, above 0; 1 is AdamW, below 1 layers near the input learn slower, above 1 they learn faster.
        fused: torch's fused form; None is torch's choice.

    Raises:
        ValueError: if `layer_decay` is out of range, or the groups do not say what is in which layer.

    References:
        Clark et al., ELECTRA, arXiv 2003.10555, appendix B; Howard and Ruder, ULMFiT, arXiv 1801.06146, section 3.2.

    Example:
        >>> from torch import nn
        >>> from zoo.optim.groups import by_role
        >>> model = nn.Module()
        >>> model.layers = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(3))
        >>> [group["lr"] for group in LayerwiseAdamW(by_role(model), lr=1.0, layer_decay=0.5).param_groups]
        [0.25, 0.5, 1.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        layer_decay: float = 0.9,
        fused: bool | None = None,
    ) -> None:
        if not 0 < layer_decay < math.inf:
            raise ValueError(f"layer_decay must be above 0 and finite, not {layer_decay}")
        groups = list(params)
        if not all(isinstance(group, dict) and ("layers" in group or not group["params"]) for group in groups):
            raise ValueError("LayerwiseAdamW must know the layers: pass zoo.optim.groups.by_role(model)")
        last = max((layer for group in groups for layer in group.get("layers", ())), default=0)
        if last == 0:
            raise ValueError("LayerwiseAdamW finds no layers in the model: use AdamW")
        if last * abs(math.log(layer_decay)) > _MOST_LOG_RATIO:
            raise ValueError(f"layer_decay {layer_decay} over {last} layers leaves all numbers: choose one nearer to 1")
        split = [part for group in groups for part in _by_layer(group, lr, layer_decay, last)]
        super().__init__(split, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)


def _by_layer(group: dict[str, Any], lr: float | Tensor, decay: float, last: int) -> list[dict[str, Any]]:
    """A group for each layer that occurs in `group`, lowest first, with what `group` says of its parameters."""
    if not group["params"]:
        return [group]
    layers = group["layers"]
    found = []
    for layer in sorted(set(layers)):
        # lists say something of each parameter
        part = {
            key: [one for one, place in zip(value, layers, strict=True) if place == layer]
            for key, value in group.items()
            if isinstance(value, list)
        }
        found.append({**group, **part, "lr": lr * decay ** (last - layer)})
    return found
