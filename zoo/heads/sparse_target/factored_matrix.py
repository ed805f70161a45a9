"""A D x d matrix that is stepped exactly along gradients of spherical losses without being touched as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.heads.sparse_target.column_update import ColumnUpdate, PlainUpdate
from zoo.heads.sparse_target.merge_targets import merge_targets
from zoo.heads.sparse_target.output_gradient import OutputGradient
from zoo.heads.sparse_target.spherical_loss import Outputs, SphericalLoss
from zoo.heads.sparse_target.step_moments import StepMoments

_BLOCK = 8_000_000  # numbers of a block of rows that is worked on at a time
_WORST_CONDITION = 1e3  # of U after a step, per column; 1 is the identity


class FactoredMatrix(nn.Module):
    """`W = V U + 1 omega^T` with `Q = W^T W` and `W^T 1` beside it; a step costs O(d^2) an example, whatever D is.

    Nothing here is a parameter: V, U, its inverse, Q, `W^T 1` and omega are buffers, so that they are part of a
    checkpoint and of no optimizer. Only the rows of V at the targets of a step are touched by it.

    Args:
        matrix: W at first, (D, d), float32 or float64; taken over and changed in place, not copied.

    Raises:
        ValueError: if the type is another one.

    References:
        P. Vincent, A. de Brebisson and X. Bouthillier, Efficient Exact Gradient Update for Training Deep Networks with
        Very Large Sparse Targets, arXiv 1412.7091; extended to all spherical losses in arXiv 1606.08061.

    Differs from the paper:
        The inverse of U is kept by solving an m x m system (d x d where m is above d) in place of m rank-1 updates, and
        V is moved towards U by what has left its range, all directions at once.
    """

    rows: Tensor
    mixing: Tensor
    inverse: Tensor
    gram: Tensor
    total: Tensor
    shift: Tensor
    probe_large: Tensor
    probe_small: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        if matrix.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"a factored matrix is kept in float32 or float64, not {matrix.dtype}: use bf16-mixed")
        width = matrix.shape[1]
        self.register_buffer("rows", matrix.detach())
        for name in ("mixing", "inverse", "gram"):
            self.register_buffer(name, torch.eye(width, dtype=matrix.dtype, device=matrix.device))
        for name in ("total", "shift"):
            self.register_buffer(name, torch.zeros(width, dtype=matrix.dtype, device=matrix.device))
        for name in ("probe_large", "probe_small"):
            self.register_buffer(name, torch.full_like(self.total, width**-0.5))
        self._summarise()

    @property
    def number(self) -> int:
        """Rows, D."""
        return self.rows.shape[0]

    @property
    def width(self) -> int:
        """Columns, d."""
        return self.rows.shape[1]

    def look_up(self, ids: Tensor) -> Tensor:
        """`W[ids]`, one row an id."""
        return self.rows[ids] @ self.mixing + self.shift

    def blocks(self, rows: int | None = None) -> Iterator[Tensor]:
        """W, a block of rows at a time."""
        for block in self.rows.split(rows or max(1, _BLOCK // self.width)):
            yield block @ self.mixing + self.shift

    def dense(self) -> Tensor:
        """W, composed."""
        return torch.cat(list(self.blocks()))

    def outputs(self, hidden: Tensor, targets: Tensor) -> tuple[Outputs, Tensor, Tensor]:
        """What a spherical loss sees of `W h`, with `H Q` and `H U^T` on the way, O(d^2) an example.

        Args:
            hidden: H, (m, d).
            targets: ids, (m, K).
        """
        through_gram, mixed = hidden @ self.gram, hidden @ self.mixing.T
        own = _dot_rows(self.rows, targets, mixed) + (hidden @ self.shift)[:, None]
        seen = Outputs((through_gram * hidden).sum(-1), hidden @ self.total, own, self.number)
        return seen, through_gram, mixed

    def gradient(
        self, hidden: Tensor, targets: Tensor, loss: SphericalLoss, values: Tensor
    ) -> tuple[Tensor, OutputGradient]:
        """Loss of each example, (m,), and the gradient of their sum.

        Args:
            hidden: H, (m, d).
            targets: ids, (m, K).
            loss: of the outputs.
            values: of the targets, (m, K); those of a class that stands twice in a row are added up.
        """
        seen, through_gram, mixed = self.outputs(hidden, targets)
        slopes = loss.partials(seen, merge_targets(targets, values))
        rates = (2 * slopes.square_norm, slopes.total, slopes.targets)
        return slopes.value, self._complete(hidden, targets, rates, (through_gram, mixed, seen.total))

    def complete(
        self, hidden: Tensor, targets: Tensor, by_output: Tensor, by_total: Tensor, by_target: Tensor
    ) -> OutputGradient:
        """A gradient from its `essence`, taken at this W."""
        products = (hidden @ self.gram, hidden @ self.mixing.T, hidden @ self.total)
        return self._complete(hidden, targets, (by_output, by_total, by_target), products)

    def _complete(
        self,
        hidden: Tensor,
        targets: Tensor,
        rates: tuple[Tensor, Tensor, Tensor],
        products: tuple[Tensor, Tensor, Tensor],
    ) -> OutputGradient:
        by_output, by_total, by_target = rates
        through_gram, mixed, totals = products
        own = F.embedding_bag(targets, self.rows, mode="sum", per_sample_weights=by_target) @ self.mixing
        own = own.addr_(by_target.sum(-1), self.shift)
        to_hidden = (by_output[:, None] * through_gram).addr_(by_total, self.total).add_(own)
        return OutputGradient(hidden, targets, by_output, by_total, by_target, to_hidden, own, mixed, totals)

    @torch.no_grad()
    def step(
        self,
        moments: StepMoments,
        rate: float,
        update: ColumnUpdate | None = None,
        decay: float = 0.0,
    ) -> None:
        """`W <- (1 - rate decay) W - rate (dL/dW) C`, exactly.

        Args:
            moments: of the gradient, taken at this W.
            rate: learning rate, at least 0.
            update: gives C; None is the identity.
            decay: weight decay, decoupled as in AdamW.

        Raises:
            ValueError: if `rate decay` is not below 1.
            FloatingPointError: if the step is no finite number; W and `update` are then as they were.
        """
        kept = 1 - rate * decay
        if kept <= 0:
            raise ValueError(f"a decay of {decay} at a learning rate of {rate} leaves nothing: lower one of them")
        self._step(moments, rate / kept, update or PlainUpdate())
        if kept != 1:
            for tensor in (self.mixing, self.shift, self.total):
                tensor.mul_(kept)
            self.inverse.div_(kept)
            self.gram.mul_(kept**2)

    def _step(self, moments: StepMoments, rate: float, update: ColumnUpdate) -> None:
        gradient = moments.gradient
        with update.undone_on_error():
            update.observe(gradient.hidden, moments.column_squares, self.number)
            change = self._mix(moments, rate, update)
        self._change_gram(change)
        hidden = update.right(gradient.hidden)
        self.shift -= rate * (hidden.T @ (gradient.by_output * (gradient.hidden @ self.shift) + gradient.by_total))
        self.total -= rate * (hidden.T @ moments.column_total)
        moved = moments.route.unmix_(rate, update.right, self.inverse)
        # a NaN, of a step that makes U singular, is not below either
        if not self.inverse.norm() * self.mixing.norm() < _WORST_CONDITION * self.width:
            self._compose()
            moved = hidden
        self.rows.index_add_(0, moments.groups.classes, moments.groups.over_examples(moved), alpha=-rate)
        if moments.looked_up is not None:
            self._step_rows(moments.looked_up.ids, rate * update.right(moments.looked_up.values))

    def _mix(self, moments: StepMoments, rate: float, update: ColumnUpdate) -> Tensor:
        """Step U, and return X of the step of Q, unless one of them is not finite."""
        change = moments.route.gram_change(rate, update.right)
        mixing = moments.route.mix(rate, update.right, self.mixing)
        if not torch.isfinite(change.sum() + mixing.sum()):
            raise FloatingPointError(
                f"a step of the output matrix at learning rate {rate:.3g} is not finite: lower the rate of the head, "
                "or clip the gradient"
            )
        self.mixing.copy_(mixing)
        return change

    def _step_rows(self, ids: Tensor, steps: Tensor) -> None:
        """`W[ids] <- W[ids] - steps`, each id once."""
        self._change_gram(steps.T @ (self.look_up(ids) - steps / 2))
        self.total -= steps.sum(0)
        self.rows.index_add_(0, ids, steps @ self.inverse, alpha=-1)

    def _change_gram(self, change: Tensor) -> None:
        # summed before it is taken off, so that Q stays symmetric to the last bit; a sum with strides would be slow
        self.gram -= change.add_(change.T.contiguous())

    @torch.no_grad()
    def centre(self) -> None:
        """Take the mean row from every row; mean and variance of the outputs then do not cancel."""
        self.shift -= self.total / self.number
        self.gram -= torch.outer(self.total, self.total) / self.number
        self.total.zero_()

    @torch.no_grad()
    def fold(self) -> None:
        """V becomes W, U the identity and omega 0; Q and `W^T 1` are summed anew. O(D d^2)."""
        self._compose()
        self._summarise()

    @torch.no_grad()
    def assign(self, matrix: Tensor) -> None:
        """W becomes `matrix`, of the same shape."""
        self.rows.copy_(matrix)
        for square in (self.mixing, self.inverse):
            square.copy_(torch.eye(self.width))
        self.shift.zero_()
        self._summarise()

    def _compose(self) -> None:
        for block in self.rows.split(max(1, _BLOCK // self.width)):
            block.copy_(block @ self.mixing + self.shift)
        for square in (self.mixing, self.inverse):
            square.copy_(torch.eye(self.width))
        self.shift.zero_()

    @torch.no_grad()
    def stabilise(self, largest: float = 2.0) -> int:
        """Move what has left the range from U into V; W stays.

        The range of the singular values is from 1 / `largest` to `largest` times their median, which weight decay
        lowers; those outside of it become the median. One decomposition of U in float64 and O(D d r) for r such
        directions; above d / 3 of them, or where the median itself is below 1e-3 or above 1e3, it is a `fold`.

        Args:
            largest: above 1.

        Returns:
            r.
        """
        left, values, right = torch.linalg.svd(self.mixing.double())
        middle = values.median()
        bad = (values < middle / largest) | (values > middle * largest)
        found = int(bad.sum())
        if found > self.width / 3 or not 1e-3 < float(middle) < 1e3:
            self.fold()
        elif found:
            directions = left[:, bad].to(self.rows.dtype)
            growth = (values[bad] / middle - 1).to(self.rows.dtype)
            for block in self.rows.split(max(1, _BLOCK // self.width)):
                block.addmm_((block @ directions) * growth, directions.T)
            kept = torch.where(bad, middle, values)
            self.mixing.copy_((left * kept) @ right)
            self.inverse.copy_((right.T / kept) @ left.T)
        return found

    @torch.no_grad()
    def spread(self, iterations: int = 2) -> tuple[float, float]:
        """Estimates from below of the largest singular values of U and of its inverse, O(d^2).

        Power iterations that go on from those of the call before.
        """
        found = []
        for matrix, vector in ((self.mixing, self.probe_large), (self.inverse, self.probe_small)):
            for _ in range(iterations):
                product = matrix.T @ (matrix @ vector)
                size = product.norm()
                vector.copy_(product / size)
            found.append(float(size.sqrt()))
        return found[0], found[1]

    @property
    def health(self) -> Tensor:
        """Largest number of `|U U^-1 - I|`."""
        return (self.mixing @ self.inverse - torch.eye(self.width, device=self.mixing.device)).abs().max()

    def _summarise(self) -> None:
        gram = torch.zeros_like(self.gram, dtype=torch.float64)
        total = torch.zeros_like(self.total, dtype=torch.float64)
        for block in self.rows.split(max(1, _BLOCK // self.width)):
            gram += block.T @ block
            total += block.sum(0)
        self.gram.copy_(gram)
        self.total.copy_(total)


def _dot_rows(rows: Tensor, ids: Tensor, vectors: Tensor) -> Tensor:
    """`rows[ids_ik] . vectors_i`, (m, K), without m x K rows in memory."""
    at_a_time = max(1, _BLOCK // (ids.shape[1] * rows.shape[1]))
    pairs = zip(ids.split(at_a_time), vectors.split(at_a_time), strict=True)
    return torch.cat([torch.einsum("mkd,md->mk", rows[i], v) for i, v in pairs])
