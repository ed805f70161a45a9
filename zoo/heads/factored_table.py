"""An output table that steps itself, exactly, along gradients of spherical losses."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from zoo.contracts import SelfUpdating
from zoo.heads.left_gradients import LookUp, SparseLoss
from zoo.heads.sparse_target import (
    ColumnUpdate,
    FactoredMatrix,
    OutputGradient,
    Outputs,
    RowGradient,
    SphericalLoss,
    StepMoments,
    full_precision,
    merge_targets,
)
from zoo.heads.spherical_table import SphericalTable
from zoo.layers.all_processes import num_processes, rows_of_all
from zoo.layers.output_matrix import OutputMatrix
from zoo.layers.score_blocks import Blocks, best_of, draw_best, log_probs_of, ranks_of

_SCORES = 8_000_000  # numbers of a block of scores
_SMALLEST = 2e-3  # of the scale of U, which weight decay lowers
_BREAK_EVEN = 3  # V / D
_HEALTH_EVERY = 50  # steps
_WORST_INVERSE = 1e-3
_WORST_CONDITION = 8.0  # of U, estimated from below; something is then outside of the range that U is brought to


class FactoredTable(SphericalTable, SelfUpdating):
    """W of V x D as a `FactoredMatrix`: none of it is a parameter, and no optimizer may hold it.

    Warns where V is below 3 D: a dense layer is faster there.

    Args:
        matrix: W at first; columns beyond `width` belong to a constant feature, the bias.
        width: D, of hidden vectors.
        update: which matrix the gradient is multiplied with.
        lr: learning rate before the schedule.
        weight_decay: decoupled.
    """

    inverse_error: Tensor
    steps: Tensor

    def __init__(
        self,
        matrix: Float[Tensor, "vocab columns"],
        width: int,
        update: ColumnUpdate,
        lr: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_rows, self.width = len(matrix), width
        if self.num_rows < _BREAK_EVEN * width:
            warnings.warn(
                f"V = {self.num_rows:,} is below {_BREAK_EVEN} D = {_BREAK_EVEN * width:,}: a factored table is slower "
                "than a dense layer there; use SoftmaxHead, or a smaller model.width",
                stacklevel=2,
            )
        self.matrix, self.update = FactoredMatrix(matrix), update
        self.own_learning_rate, self.weight_decay = lr, weight_decay
        self.register_buffer("columns", torch.tensor(width))
        self.register_buffer("inverse_error", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._outputs: list[OutputGradient] = []
        self._looked_up: list[tuple[Tensor, Tensor]] = []
        self._waiting: StepMoments | None = None

    @property
    def num_own_weights(self) -> int:
        """Numbers of W."""
        return self.num_rows * self.matrix.width

    def take_rows(self, rows: Float[Tensor, "vocab dim"]) -> None:
        """W starts at these rows; the bias stays."""
        bias = self.matrix.dense()[:, self.width :]
        self.matrix.assign(torch.cat([rows.to(bias), bias], 1))

    def with_parameters(self) -> OutputMatrix:
        """The same rows as a parameter, without the bias."""
        table = OutputMatrix(self.num_rows, self.width)
        with torch.no_grad():
            table.matrix.copy_(self.weight())
        return table.to(self.matrix.rows.device)

    @property
    def has_bias(self) -> bool:
        """Whether the last column belongs to a constant feature."""
        return self.matrix.width > self.width

    def weight(self) -> Float[Tensor, "vocab dim"]:
        """W, composed, without the bias."""
        return self.matrix.dense()[:, : self.width]

    def rows(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        """Rows of W; a backward pass leaves their gradient here."""
        if not torch.is_grad_enabled():
            return self.look_up(ids)
        anchor = torch.zeros((), device=ids.device, dtype=self.matrix.rows.dtype, requires_grad=True)
        looked_up: Tensor = LookUp.apply(ids, anchor, self)  # type: ignore[no-untyped-call]
        return looked_up

    def look_up(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        """Rows of W, without a gradient."""
        with full_precision(ids.device):
            return self.matrix.look_up(ids)[:, : self.width]

    def with_bias(self, hidden: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows columns"]:
        """The hidden vectors in the type of W, with a constant 1 behind them where there is a bias."""
        wide = hidden.to(self.matrix.rows.dtype)
        return F.pad(wide, (0, 1), value=1.0) if self.has_bias else wide

    def score_blocks(self, hidden: Float[Tensor, "rows dim"]) -> Blocks:
        """Scores `W h`, a block of classes at a time."""
        with torch.no_grad(), full_precision(hidden.device):
            wide = self.with_bias(hidden)
            mixed, shift = wide @ self.matrix.mixing.T, (wide @ self.matrix.shift)[:, None]
        size = max(1, _SCORES // max(1, len(hidden)))
        for start in range(0, self.num_rows, size):
            with torch.no_grad(), full_precision(hidden.device):
                scores = mixed @ self.matrix.rows[start : start + size].T + shift
            yield start, scores

    def outputs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, "rows k"]) -> Outputs:
        """What the loss sees of `W h + b`, in O(N D^2)."""
        with torch.no_grad(), full_precision(hidden.device):
            return self.matrix.outputs(self.with_bias(hidden), targets)[0]

    def mean_loss(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, "rows k"],
        values: Float[Tensor, "rows k"],
        loss: SphericalLoss,
    ) -> Float[Tensor, ""]:
        """The loss; a backward pass leaves the gradient of W here.

        Raises:
            ValueError: if W was cast to half precision.
        """
        if self.matrix.rows.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"W is {self.matrix.rows.dtype} and needs float32: set trainer.precision bf16-mixed")
        with full_precision(hidden.device):
            wide = self.with_bias(hidden)
            if not torch.is_grad_enabled():
                merged = merge_targets(targets, values.to(wide.dtype))
                return loss.partials(self.outputs(hidden, targets), merged).value.mean()
            anchor = torch.zeros((), device=wide.device, dtype=wide.dtype, requires_grad=True)
            mean: Tensor = SparseLoss.apply(wide, anchor, targets, values.to(wide.dtype), loss, self)  # type: ignore[no-untyped-call]
        return mean

    @property
    def diagnostics(self) -> Mapping[str, Tensor]:
        """|W|, and the largest number of `|U U^-1 - I|` when it was last taken."""
        norm = self.matrix.gram.trace().clamp(min=0).sqrt()
        return {"weight_norm": norm, "inverse_error": self.inverse_error.clone()}

    # ---- the gradient that waits, and the step

    def add_output_gradient(self, gradient: OutputGradient) -> None:
        """Leave a gradient of the output side for the next step."""
        self._outputs.append(gradient)
        self._waiting = None

    def add_input_gradient(self, ids: Tensor, values: Tensor) -> None:
        """Leave a gradient of rows that were looked up for the next step."""
        self._looked_up.append((ids, values.to(self.matrix.rows.dtype)))
        self._waiting = None

    def gradient_norm(self) -> Tensor:
        """Norm of the gradient that waits, over all processes."""
        with full_precision(self.matrix.rows.device):
            moments = self._gathered()
        return self.matrix.total.new_zeros(()) if moments is None else moments.square_norm.clamp(min=0).sqrt()

    def scale_gradient(self, factor: Tensor | float) -> None:
        """Multiply the gradient that waits."""
        with full_precision(self.matrix.rows.device):
            moments = self._gathered()
            if moments is not None:
                looked_up = None if moments.looked_up is None else moments.looked_up.scaled(factor)
                self._waiting = StepMoments(self.matrix, moments.gradient.scaled(factor), looked_up)

    @torch.no_grad()
    def apply_gradient(self, rate: float) -> None:
        """Step W, unless the gradient is not finite; then keep U well conditioned.

        Raises:
            FloatingPointError: if the step is no finite number; W is then as it was.
        """
        with full_precision(self.matrix.rows.device):
            moments = self._gathered()
            self.drop_gradient()
            if moments is None:
                return
            if not torch.isfinite(moments.square_norm):
                warnings.warn("the gradient of the output table is not finite: its step is left out", stacklevel=2)
                return
            self.matrix.step(moments, rate, self.update, self.weight_decay)
            self.steps += 1
            self._control()

    def drop_gradient(self) -> None:
        """Forget the gradient."""
        self._outputs, self._looked_up, self._waiting = [], [], None

    @torch.no_grad()
    def _gathered(self) -> StepMoments | None:
        """The gradient of all processes and backward passes since the last step."""
        if self._looked_up and not self._outputs:
            raise ValueError("rows of a table that steps itself were trained without a loss of the head: train both")
        if self._waiting is None and self._outputs:
            gradient, world = OutputGradient.joined(self._outputs), num_processes()
            if world > 1:
                gradient = self.matrix.complete(*map(rows_of_all, gradient.essence)).scaled(1 / world)
            looked_up = None
            if self._looked_up:
                ids, values = (torch.cat(part) for part in zip(*self._looked_up, strict=True))
                if world > 1:
                    ids, values = rows_of_all(ids), rows_of_all(values) / world
                looked_up = RowGradient.summed(ids, F.pad(values, (0, int(self.has_bias))))
            self._waiting = StepMoments(self.matrix, gradient, looked_up)
        return self._waiting

    def _control(self) -> None:
        """Stabilise where it is needed, and say how far U and its inverse have come apart."""
        if int(self.steps) % _HEALTH_EVERY == 0:
            self.inverse_error.copy_(self.matrix.health)
        large, small = self.matrix.spread()
        if large * small > _WORST_CONDITION or not _SMALLEST < large < 1 / _SMALLEST:
            self.matrix.stabilise()
        elif int(self.steps) % _HEALTH_EVERY == 0 and not float(self.inverse_error) < _WORST_INVERSE:
            self.matrix.fold()

    # ---- an exact softmax over the scores, for evaluation

    def cross_entropy(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, ""]:
        """Refused: the exact step knows no softmax.

        Raises:
            ValueError: always.
        """
        raise ValueError("a factored table is trained by spherical losses only: use SparseTargetHead, or another table")

    def log_probs(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """`log softmax(W h + b)_target`, a block of classes at a time."""
        return log_probs_of(self._biased(hidden, bias), targets)

    def topk(
        self, hidden: Float[Tensor, "rows dim"], k: int, bias: Float[Tensor, " vocab"] | None = None
    ) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""
        return best_of(self._biased(hidden, bias), k)

    def ranks(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Int[Tensor, " rows"]:
        """How many tokens score at least as high as each target, itself included."""
        return ranks_of(lambda: self._biased(hidden, bias), targets)

    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        bias: Float[Tensor, " vocab"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """One id a row, drawn from `softmax(W h + b)`."""
        return draw_best(self._biased(hidden, bias), generator)

    def _biased(self, hidden: Tensor, bias: Tensor | None) -> Blocks:
        for start, scores in self.score_blocks(hidden):
            yield start, scores if bias is None else scores + bias[start : start + scores.shape[1]]
