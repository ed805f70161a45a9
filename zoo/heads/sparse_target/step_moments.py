"""All sums over a step's gradient that do not depend on its length."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from zoo.heads.sparse_target.covariance_route import CovarianceRoute
from zoo.heads.sparse_target.example_route import ExampleRoute
from zoo.heads.sparse_target.output_gradient import OutputGradient
from zoo.heads.sparse_target.row_gradient import RowGradient

if TYPE_CHECKING:
    from zoo.heads.sparse_target.factored_matrix import FactoredMatrix


class StepMoments:
    """Norms of `dL/dW = E H`, plus rows that were looked up where W is an input table too, without E.

    Args:
        matrix: W, at which the gradients were taken.
        gradient: `E H`.
        looked_up: the other part.
    """

    def __init__(self, matrix: FactoredMatrix, gradient: OutputGradient, looked_up: RowGradient | None = None) -> None:
        self.matrix, self.gradient, self.looked_up = matrix, gradient, looked_up
        self.groups = gradient.group_targets()
        self.by_class = self.groups.over_examples(gradient.hidden)
        g = gradient
        self.column_total = g.by_output * g.totals + g.by_target.sum(-1) + matrix.number * g.by_total  # E^T 1
        self.route: ExampleRoute | CovarianceRoute
        if len(g) <= matrix.width:
            self.route = ExampleRoute(g, self.groups.over_classes(self.by_class), self.column_total)
        else:
            self.route = CovarianceRoute(g, self.by_class, matrix.gram, matrix.total, matrix.number)

    @property
    def square_norm(self) -> Tensor:
        """`|dL/dW|^2`."""
        squares = self.route.square_norm
        return squares if self.looked_up is None else squares + self._of_rows.sum()

    @property
    def column_squares(self) -> Tensor:
        """Sum of the squares of each column of dL/dW, (d,)."""
        squares = self.route.column_squares
        return squares if self.looked_up is None else squares + self._of_rows.sum(0)

    @cached_property
    def _of_rows(self) -> Tensor:
        """`|E H + S|^2 - |E H|^2` at the rows of the other part S."""
        assert self.looked_up is not None
        g, ids, values = self.gradient, self.looked_up.ids, self.looked_up.values
        both = ((self.matrix.look_up(ids) @ g.hidden.T) * g.by_output + g.by_total) @ g.hidden
        place = self.looked_up.at(self.groups.classes)
        both.index_add_(0, place[place >= 0], self.by_class[place >= 0])
        return values * (values + 2 * both)
