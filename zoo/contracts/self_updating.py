"""Weights that no optimizer can hold."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class SelfUpdating(nn.Module, ABC):
    """A module that steps weights of its own, from gradients that backward passes left with it.

    The objective calls it where the optimizer steps: norm, clipping, then the step at the learning rate of its group,
    which has no parameters and which a schedule sees like any other.

    Attributes:
        own_learning_rate: of its weights, before the schedule.
    """

    own_learning_rate: float

    @property
    @abstractmethod
    def num_own_weights(self) -> int:
        """How many numbers it trains that are parameters of no optimizer."""

    @abstractmethod
    def gradient_norm(self) -> Tensor:
        """Norm of the gradient that waits for a step, over all processes; 0 where there is none."""

    @abstractmethod
    def scale_gradient(self, factor: Tensor | float) -> None:
        """Multiply the gradient that waits."""

    @abstractmethod
    def apply_gradient(self, rate: float) -> None:
        """Step the weights, the same on every process, and forget the gradient."""

    @abstractmethod
    def take_rows(self, rows: Tensor) -> None:
        """Start at these rows."""

    @abstractmethod
    def with_parameters(self) -> nn.Module:
        """An ordinary module with the same weights as parameters, for training by an optimizer alone."""

    @abstractmethod
    def drop_gradient(self) -> None:
        """Forget the gradient without a step."""
