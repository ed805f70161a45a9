"""What a loss may see of D outputs if its update is to cost nothing that grows with D."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Outputs:
    """The outputs `o = W h` of m examples, as far as a spherical loss sees them.

    Args:
        square_norm: `q = |o|^2`, (m,).
        total: `s = sum_j o_j`, (m,).
        targets: `a_k = o[t_k]`, (m, K).
        number: D.
    """

    square_norm: Tensor
    total: Tensor
    targets: Tensor
    number: int


@dataclass(frozen=True)
class Partials:
    """A loss of m examples and its derivatives.

    Args:
        value: l, (m,).
        square_norm: dl/dq, (m,).
        total: dl/ds, (m,).
        targets: dl/da, (m, K).
    """

    value: Tensor
    square_norm: Tensor
    total: Tensor
    targets: Tensor


class SphericalLoss(ABC):
    """A function of `q = |o|^2`, `s = sum_j o_j`, the outputs `a_k` of the targets and their values y.

    Attributes:
        is_probability: whether `exp(-l)` of one target of value 1 is a probability over the D classes.
        is_regression: whether the values are numbers that the outputs should take; else they are weights of classes.
        zero_sum: whether dl/do sums to 0 over the D outputs.
        offset: where the probability of a class is `(o + offset)^2` plus a constant, over the sum of the same for all
            classes; None where it is something else.
    """

    is_probability: ClassVar[bool] = False
    is_regression: ClassVar[bool] = False
    zero_sum: ClassVar[bool] = False
    offset: ClassVar[float | None] = None

    @abstractmethod
    def partials(self, outputs: Outputs, values: Tensor) -> Partials:
        """Value and derivatives.

        Args:
            outputs: of m examples.
            values: y, (m, K); 0 for targets that are not there, and for a class that stood before in its row
                (`merge_targets`).
        """

    def ranking(self, scores: Tensor) -> Tensor:
        """What the classes are ranked by, from any of their outputs o, of the same shape."""
        return scores

    def logits(self, scores: Tensor) -> Tensor:
        """Logarithms of unnormalised probabilities of the classes, from any of their outputs o.

        Raises:
            NotImplementedError: if the loss is no probability.
        """
        raise NotImplementedError(f"{type(self).__name__} is no probability")


class ClassLoss(SphericalLoss):
    """A loss of single classes; of K weighted ones it is `sum_k y_k l(o, t_k)`."""

    def partials(self, outputs: Outputs, values: Tensor) -> Partials:
        """Value and derivatives, summed over the targets by their weights."""
        seen = Outputs(outputs.square_norm[:, None], outputs.total[:, None], outputs.targets, outputs.number)
        single = self.of_class(seen)
        value, square_norm, total = (
            (values * part).sum(-1) for part in (single.value, single.square_norm, single.total)
        )
        return Partials(value, square_norm, total, values * single.targets)

    @abstractmethod
    def of_class(self, outputs: Outputs) -> Partials:
        """Value and derivatives for each target alone; all shapes are broadcast to (m, K)."""
