"""Reads the weights of pretrained encoders from folders of transformers and sentence-transformers."""

from zoo.pretrained.reading import Pretrained, read_pretrained

__all__ = ["Pretrained", "read_pretrained"]
