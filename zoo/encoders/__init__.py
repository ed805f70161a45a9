"""Encoders: the body between the two sides of the vocabulary."""

from zoo.encoders.dense_encoder import DenseEncoder
from zoo.encoders.lstm_encoder import LSTMEncoder

__all__ = ["DenseEncoder", "LSTMEncoder"]
