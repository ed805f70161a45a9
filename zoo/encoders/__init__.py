"""Encoders: the body between the two sides of the vocabulary."""

from zoo.encoders.dense_encoder import DenseEncoder

__all__ = ["DenseEncoder"]
