"""Swappable vocabularies and bodies for text models: train, score and compare them."""

__version__ = "0.1.0"
