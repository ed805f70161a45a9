"""The contracts between the axes: what a batch is, and what each swappable part promises.

Variants of one axis know this module and nothing of each other, so that any two of them combine.

Names used in shapes: `tokens` T, `sequences` B, `dim` D, `vocab` V, `rows` N.
"""

from __future__ import annotations

from typing import Any

from zoo.contracts.batches import DataView, Layout, PackedBatch, PairBatch, PairView, TextView, TokenLosses, Vocabulary
from zoo.contracts.embeddings import OutputTable, TokenEmbedding
from zoo.contracts.encoders import Encoder, EncoderOutput
from zoo.contracts.heads import HeadLoss, OutputHead
from zoo.contracts.self_updating import SelfUpdating

JsonDict = dict[str, Any]

__all__ = [
    "DataView",
    "Encoder",
    "EncoderOutput",
    "HeadLoss",
    "JsonDict",
    "Layout",
    "OutputHead",
    "OutputTable",
    "PackedBatch",
    "PairBatch",
    "PairView",
    "SelfUpdating",
    "TextView",
    "TokenEmbedding",
    "TokenLosses",
    "Vocabulary",
]
