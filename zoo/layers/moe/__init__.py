"""Mixtures of experts: routing, execution, and what keeps the load even."""

from zoo.layers.moe.global_balance import GlobalBalance
from zoo.layers.moe.loss_free_balance import LossFreeBalance
from zoo.layers.moe.running_balance import RunningBalance

__all__ = ["GlobalBalance", "LossFreeBalance", "RunningBalance"]
