"""Output heads: hidden vectors to a loss over the vocabulary."""

from zoo.heads.augmented_softmax_head import AugmentedSoftmaxHead
from zoo.heads.mixture_softmax_head import MixtureSoftmaxHead
from zoo.heads.softmax_head import SoftmaxHead

__all__ = ["AugmentedSoftmaxHead", "MixtureSoftmaxHead", "SoftmaxHead"]
