"""The gradient of a spherical loss with respect to W, as the few factors that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional as F

_SCALED = ("by_output", "by_total", "by_target", "to_hidden", "own_rows")


@dataclass(frozen=True)
class OutputGradient:
    """`dL/dW = E H` of m examples, with `E = W H^T G + 1 gs^T + Y^T`, which has D rows and is never built.

    G is the diagonal of `by_output`, and Y (m x D) holds `by_target` at the targets.

    Args:
        hidden: H, (m, d).
        targets: ids, (m, K).
        by_output: `2 dl/dq`, (m,).
        by_total: gs = dl/ds, (m,).
        by_target: dl/da, (m, K).
        to_hidden: B = E^T W = dL/dH, (m, d).
        own_rows: Y W, (m, d).
        mixed: `H U^T`, (m, d).
        totals: `s = H W^T 1`, (m,).
    """

    hidden: Tensor
    targets: Tensor
    by_output: Tensor
    by_total: Tensor
    by_target: Tensor
    to_hidden: Tensor
    own_rows: Tensor
    mixed: Tensor
    totals: Tensor

    def __len__(self) -> int:
        return len(self.hidden)

    @property
    def essence(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What the rest follows from where W is known."""
        return self.hidden, self.targets, self.by_output, self.by_total, self.by_target

    def scaled(self, factor: Tensor | float) -> OutputGradient:
        """The gradient of `factor` times the loss."""
        return replace(self, **{name: getattr(self, name) * factor for name in _SCALED})

    @staticmethod
    def joined(parts: Sequence[OutputGradient]) -> OutputGradient:
        """The gradient of the sum of several losses, all taken at the same W.

        Raises:
            ValueError: if their examples have different numbers of targets.
        """
        if len({part.targets.shape[1] for part in parts}) > 1:
            raise ValueError("examples that are joined need the same number of targets: fill up with values of 0")
        names = [field.name for field in fields(OutputGradient)]
        return OutputGradient(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def group_targets(self) -> TargetGroups:
        """The targets by class."""
        flat = self.targets.flatten()
        order = flat.argsort(stable=True)
        classes, inverse, counts = flat[order].unique_consecutive(return_inverse=True, return_counts=True)
        group = torch.empty_like(flat)
        group[order] = inverse
        return TargetGroups(
            classes,
            group.view_as(self.targets),
            order // self.targets.shape[1],
            F.pad(counts.cumsum(0), (1, 0))[:-1],
            self.by_target.flatten()[order],
            self.by_target,
        )


@dataclass(frozen=True)
class TargetGroups:
    """The entries of Y, sorted by class: sums over a class then have one order on every machine.

    Args:
        classes: the u different targets, rising.
        group: place in `classes` of each target, (m, K).
        examples: example of each sorted entry, (m K,).
        starts: first sorted entry of each class, (u,).
        sorted_weights: value of each sorted entry.
        weights: the same, (m, K).
    """

    classes: Tensor
    group: Tensor
    examples: Tensor
    starts: Tensor
    sorted_weights: Tensor
    weights: Tensor

    def over_examples(self, rows: Tensor) -> Tensor:
        """`Y^T X` at the u classes: (u, d) from one row an example."""
        return F.embedding_bag(self.examples, rows, self.starts, mode="sum", per_sample_weights=self.sorted_weights)

    def over_classes(self, rows: Tensor) -> Tensor:
        """`Y X`: (m, d) from one row for each of the u classes."""
        return F.embedding_bag(self.group, rows, mode="sum", per_sample_weights=self.weights)
