"""Output heads: hidden vectors to a loss over the vocabulary.

Classes are imported when they are asked for, so that `zoo.heads.sparse_target` needs nothing but torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.heads.adaptive_softmax_head import AdaptiveSoftmaxHead
    from zoo.heads.augmented_softmax_head import AugmentedSoftmaxHead
    from zoo.heads.mixture_softmax_head import MixtureSoftmaxHead
    from zoo.heads.sampled_softmax_head import SampledSoftmaxHead
    from zoo.heads.softmax_head import SoftmaxHead
    from zoo.heads.sparse_target_head import SparseTargetHead

__all__ = [
    "AdaptiveSoftmaxHead",
    "AugmentedSoftmaxHead",
    "MixtureSoftmaxHead",
    "SampledSoftmaxHead",
    "SoftmaxHead",
    "SparseTargetHead",
]

_MODULES = {
    "AdaptiveSoftmaxHead": "adaptive_softmax_head",
    "AugmentedSoftmaxHead": "augmented_softmax_head",
    "MixtureSoftmaxHead": "mixture_softmax_head",
    "SampledSoftmaxHead": "sampled_softmax_head",
    "SoftmaxHead": "softmax_head",
    "SparseTargetHead": "sparse_target_head",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
