"""A softmax with the second Taylor polynomial in place of exponentials."""

from __future__ import annotations

import torch

from zoo.heads.sparse_target.spherical_loss import ClassLoss, Outputs, Partials


class TaylorSoftmax(ClassLoss):
    """`l = log(D + s + q/2) - log(1 + a + a^2/2)`, that is `-log p` with `p_c` proportional to `1 + o_c + o_c^2 / 2`.

    Classes are ranked by |1 + o|. It equals `SphericalSoftmax` with eps 1 applied to o + 1, and shares its bound by
    leverage.

    References:
        A. de Brebisson and P. Vincent, An Exploration of Softmax Alternatives Belonging to the Spherical Loss Family,
        arXiv 1511.05042.
    """

    is_probability = True
    offset = 1.0

    def of_class(self, outputs: Outputs) -> Partials:
        """`dl/dq = 1 / (2 D + 2 s + q)`, `dl/ds` twice that, `dl/da = -(1 + a) / (1 + a + a^2/2)`."""
        a = outputs.targets
        normaliser = outputs.number + outputs.total + outputs.square_norm / 2
        own = 1 + a + a.square() / 2
        rate = normaliser.reciprocal()
        return Partials(normaliser.log() - own.log(), rate / 2, rate, -(1 + a) / own)

    def ranking(self, scores: torch.Tensor) -> torch.Tensor:
        """|1 + o|."""
        return (1 + scores).abs()

    def logits(self, scores: torch.Tensor) -> torch.Tensor:
        """`log(1 + o + o^2 / 2)`."""
        return (1 + scores + scores.square() / 2).log()
