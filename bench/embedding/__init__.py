"""Texts to vectors: each distinct text once, in batches of similar length, kept on disk as they are computed."""

from bench.embedding.embedder import Embedder
from bench.embedding.meter import Meter

__all__ = ["Embedder", "Meter"]
