"""Encoders: the body between the two sides of the vocabulary."""

from zoo.encoders.dense_encoder import DenseEncoder
from zoo.encoders.lstm_encoder import LSTMEncoder
from zoo.encoders.moe_encoder import MoEEncoder
from zoo.encoders.ngram_encoder import NGramEncoder

__all__ = ["DenseEncoder", "LSTMEncoder", "MoEEncoder", "NGramEncoder"]
