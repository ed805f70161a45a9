"""Types of the factories in the objectives' signatures, and the one place that names the default of each axis.

Objectives work on the contracts alone; the imports of variants here are those defaults and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from zoo.contracts import Encoder, OutputHead, OutputTable, TokenEmbedding
from zoo.embeddings.full_embedding import FullEmbedding
from zoo.encoders.dense_encoder import DenseEncoder
from zoo.heads.softmax_head import SoftmaxHead
from zoo.layers.output_matrix import OutputMatrix
from zoo.optim.warmup_cosine import WarmupCosine

EmbeddingFactory = Callable[[int, int], TokenEmbedding]
EncoderFactory = Callable[[int], Encoder]
HeadFactory = Callable[[OutputTable], OutputHead]
OptimizerFactory = Callable[[Iterable[Any]], Optimizer]
ScheduleFactory = Callable[[Optimizer, int], LRScheduler]

__all__ = [
    "AdamW",
    "DenseEncoder",
    "EmbeddingFactory",
    "EncoderFactory",
    "FullEmbedding",
    "HeadFactory",
    "OptimizerFactory",
    "OutputMatrix",
    "ScheduleFactory",
    "SoftmaxHead",
    "WarmupCosine",
]
