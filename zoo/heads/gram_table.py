"""Spherical losses over tied subspace tables, trained by any optimizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.heads.sparse_target import Outputs, SphericalLoss, full_precision, merge_targets
from zoo.heads.spherical_table import SphericalTable
from zoo.layers.digit_gram import DigitGram
from zoo.layers.score_blocks import Blocks
from zoo.layers.subspace_table import SubspaceTable

_SCORES = 8_000_000  # numbers of a block of scores


class GramTable(SphericalTable):
    """A `SubspaceTable` with `W^T W` and `W^T 1` as differentiable functions of its short tables.

    Nothing needs factors here: the tables are parameters, and the optimizer of the model steps them.

    Args:
        inner: the table.
        bias: whether there is one learned number a token.
    """

    def __init__(self, inner: SubspaceTable, bias: bool) -> None:
        super().__init__()
        self.num_rows, self.width = inner.num_rows, inner.width
        self.inner, self._gram = inner, DigitGram(inner)
        self.bias = nn.Parameter(torch.zeros(inner.num_rows)) if bias else None

    @property
    def keeps_zero_sum(self) -> bool:
        """That of the subspace table."""
        return self.inner.keeps_zero_sum

    @property
    def diagnostics(self) -> Mapping[str, Tensor]:
        """Nothing."""
        return {}

    def outputs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, "rows k"]) -> Outputs:
        """What the loss sees of `W h + b`, in O(N D^2) and what a step's `W^T W` costs, in at least float32."""
        with full_precision(hidden.device):
            gram, total = self._gram()
            wide = hidden.to(gram.dtype)
            square_norm, sums = ((wide @ gram) * wide).sum(-1), wide @ total
            rows = self.inner.rows(targets.flatten()).to(gram.dtype).view(*targets.shape, -1)
            own = (rows * wide[:, None]).sum(-1)
            if self.bias is not None:
                bias = self.bias.to(gram.dtype)
                square_norm = square_norm + 2 * wide @ self._gram.sums_of(bias) + bias.square().sum()
                sums, own = sums + bias.sum(), own + bias[targets]
        return Outputs(square_norm, sums, own, self.num_rows)

    def mean_loss(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, "rows k"],
        values: Float[Tensor, "rows k"],
        loss: SphericalLoss,
    ) -> Float[Tensor, ""]:
        """The loss, differentiable by autograd."""
        outputs = self.outputs(hidden, targets)
        return loss.partials(outputs, merge_targets(targets, values.to(outputs.targets.dtype))).value.mean()

    @torch.no_grad()
    def score_blocks(self, hidden: Float[Tensor, "rows dim"]) -> Blocks:
        """Scores `W h + b`, a block of composed rows at a time."""
        size = max(1, _SCORES // max(1, len(hidden)))
        for ids in torch.arange(self.num_rows, device=hidden.device).split(size):
            with torch.no_grad(), full_precision(hidden.device):
                rows = self.inner.rows(ids)
                rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
                scores = hidden.to(rows.dtype) @ rows.T
            yield int(ids[0]), scores if self.bias is None else scores + self.bias.detach()[ids]

    def weight(self) -> Float[Tensor, "vocab dim"]:
        """The composed table."""
        return self.inner.weight()

    def rows(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        """The composed vectors of `ids`."""
        return self.inner.rows(ids)

    def cross_entropy(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, ""]:
        """That of the subspace table."""
        return self.inner.cross_entropy(hidden, targets, bias)

    def log_probs(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Those of the subspace table."""
        return self.inner.log_probs(hidden, targets, bias)

    def topk(
        self, hidden: Float[Tensor, "rows dim"], k: int, bias: Float[Tensor, " vocab"] | None = None
    ) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The best of the subspace table."""
        return self.inner.topk(hidden, k, bias)

    def ranks(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Int[Tensor, " rows"]:
        """How many tokens score at least as high as each target, itself included."""
        return self.inner.ranks(hidden, targets, bias)

    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        bias: Float[Tensor, " vocab"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """Drawn by the subspace table."""
        return self.inner.sample(hidden, bias, generator)
