"""Output heads: hidden vectors to a loss over the vocabulary."""

from zoo.heads.softmax_head import SoftmaxHead

__all__ = ["SoftmaxHead"]
