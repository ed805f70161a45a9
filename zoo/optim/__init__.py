"""Optimizers, parameter roles and learning-rate schedules; this package imports nothing else of the project."""

from zoo.optim.centered_adamw import CenteredAdamW
from zoo.optim.coupled_adamw import CoupledAdamW
from zoo.optim.epoch_decay import EpochDecay
from zoo.optim.layerwise_adamw import LayerwiseAdamW
from zoo.optim.warmup_cosine import WarmupCosine
from zoo.optim.warmup_linear import WarmupLinear
from zoo.optim.warmup_stable_decay import WarmupStableDecay

__all__ = [
    "CenteredAdamW",
    "CoupledAdamW",
    "EpochDecay",
    "LayerwiseAdamW",
    "WarmupCosine",
    "WarmupLinear",
    "WarmupStableDecay",
]
