"""Faster linear layers for inference on a CPU, by kernels of oneDNN that PyTorch ships."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.activations import GELUActivation


class PackedLinear(nn.Module):
    """A linear layer whose weights lie in memory as the kernel reads them, with the activation in the same kernel.

    Args:
        linear: layer to replace.
        activation: `none`, or `gelu` for `x * Phi(x)`.
    """

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self.activation = activation
        # models ask their layers for the type of the weight
        self.weight = linear.weight
        self.bias = linear.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)

    def forward(self, x: Tensor) -> Tensor:
        """`activation(x W^T + b)`."""
        algorithm = "none" if self.activation == "gelu" else ""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, self.activation, [], algorithm)
        return out


def optimize(model: nn.Module) -> None:
    """Replace layers of `model`, a network on the CPU, where that is faster; the numbers stay the same up to rounding.

    In float32 only a layer that feeds a GELU gains: the activation costs half as much as the product before it. Such
    layers are known by the names that the whole BERT family gives to the first half of its feed-forward layers.
    In bfloat16 every layer does, because its weights need not be put in order for every batch.
    """
    if not torch.backends.mkldnn.is_available():
        return
    packs_halves = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    for module in list(model.modules()):
        dense = getattr(module, "dense", None)
        if isinstance(dense, nn.Linear) and _is_gelu(getattr(module, "intermediate_act_fn", None)):
            if dense.weight.dtype != torch.float32 and not packs_halves:
                continue
            module.dense = PackedLinear(dense, "gelu")
            module.intermediate_act_fn = nn.Identity()
        for name, child in list(module.named_children()):
            if packs_halves and type(child) is nn.Linear and child.weight.dtype == torch.bfloat16:
                setattr(module, name, PackedLinear(child))


def _is_gelu(activation: object) -> bool:
    return isinstance(activation, GELUActivation) and activation.act is nn.functional.gelu
