"""An output layer whose cost does not depend on the size of the vocabulary."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from zoo.contracts import HeadLoss, OutputHead, OutputTable, TokenEmbedding
from zoo.heads.factored_table import FactoredTable
from zoo.heads.gram_table import GramTable
from zoo.heads.sparse_target import (
    ColumnUpdate,
    CoupledUpdate,
    KroneckerUpdate,
    PlainUpdate,
    SphericalLoss,
    SphericalZLoss,
)
from zoo.heads.spherical_table import SphericalTable
from zoo.layers.all_processes import num_processes
from zoo.layers.output_matrix import OutputMatrix
from zoo.layers.score_blocks import Blocks, best_of, draw_best, log_probs_of, ranks_of
from zoo.layers.subspace_table import SubspaceTable

_CALIBRATED_ON = 512  # rows


class SparseTargetHead(OutputHead):
    """`W h + b` under a spherical loss, with the exact gradient and the exact step in O(D^2) a row, whatever V is.

    W is kept as `V U + 1 omega^T` (`FactoredTable`) and is in no optimizer: the backward pass leaves the gradient with
    the table, which steps itself where the optimizer steps the rest. Accumulation, loss weights, clipping by the global
    norm, weight decay and several processes are exact too. The products of W run in float32 whatever the precision of
    the rest. With `TiedEmbedding` the rows that are looked up are stepped along. A tied `SubspaceEmbedding` needs none
    of this: its `W^T W` is a cheap function of its tables (`GramTable`), and the optimizer of the model steps them.
    Under `SquaredError` a W that is not the embedding's starts at 0 once the head knows the embedding.

    Args:
        table: the output table, V x D: a full one, or a tied subspace table.
        loss: of the outputs: `SphericalZLoss` (ranks), `TaylorSoftmax` or `SphericalSoftmax` (probabilities),
            `SquaredError` (fits values).
        update: `sgd`; `coupled`, Coupled Adam with beta1 = 0; or `kronecker`, by the inverse of the mean of h h^T.
            None is `sgd`.
        lr: learning rate of W before the schedule, None 1; it has nothing to do with that of the optimizer.
        weight_decay: of W, decoupled: `W <- (1 - lr weight_decay) W`.
        bias: whether there is one learned number b a token: a column of W whose feature is always 1.
        centre: whether the mean row of W is 0 at first; mean and variance of the outputs then do not cancel.

    Raises:
        ValueError: if the table is of another kind, the update is unknown or impossible, or a number is out of range.

    References:
        P. Vincent, A. de Brebisson and X. Bouthillier, Efficient Exact Gradient Update for Training Deep Networks with
        Very Large Sparse Targets, arXiv 1412.7091.
        A. de Brebisson and P. Vincent, The Z-loss, arXiv 1604.08859.

    Differs from the paper:
        The step is taken apart from the backward pass, once for all gradients of an optimizer step.
    """

    table: SphericalTable
    sharpness: Tensor

    def __init__(
        self,
        table: OutputTable,
        loss: Callable[[], SphericalLoss] = SphericalZLoss,
        update: str | None = None,
        lr: float | None = None,
        weight_decay: float = 0.0,
        bias: bool = True,
        centre: bool = True,
    ) -> None:
        super().__init__()
        self.spherical_loss = loss()
        self.zero_sum = self.spherical_loss.zero_sum
        self.target_values = "outputs" if self.spherical_loss.is_regression else "weights"
        self.needs_calibration = not self.spherical_loss.is_probability
        self._given: Callable[[], OutputTable | None] | None = weakref.ref(table)
        if isinstance(table, SubspaceTable) and table.scores_are_products:
            if update is not None or lr is not None or weight_decay:
                raise ValueError(
                    "a tied SubspaceEmbedding is stepped by the optimizer of the model: leave head.update, head.lr and "
                    "head.weight_decay out"
                )
            self.table = GramTable(table, bias)
        elif isinstance(table, OutputMatrix):
            self.table = _factored(table, update or "sgd", 1.0 if lr is None else lr, weight_decay, bias, centre)
        else:
            raise ValueError(
                f"SparseTargetHead cannot score with a {type(table).__name__}: use FullEmbedding, TiedEmbedding "
                "without dim, or SubspaceEmbedding"
            )
        self.register_buffer("sharpness", torch.tensor(torch.nan))

    def use_embedding(self, embedding: TokenEmbedding) -> None:
        """Take the place of the table that the embedding looks rows up in, where it is the same.

        A W of its own under a regression starts at 0 instead: random rows give V outputs a square sum in the thousands,
        where that of the values is about 1, and a rate that is stable shrinks them slowly.
        """
        if self._given is None:
            return  # told already
        given = self._given()
        if isinstance(self.table, FactoredTable):
            if given is not None and embedding.output_table() is given:
                embedding.use_output_table(self.table)
            elif self.spherical_loss.is_regression:
                self.table.take_rows(torch.zeros(1).expand(self.table.num_rows, self.table.width))
        self._given = None

    def loss(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> HeadLoss:
        """Mean loss of one class a row; `nll` is the loss too where that is no probability.

        Raises:
            ValueError: if there is no row, or a target is no class.
        """
        return self.sparse_loss(hidden, targets[:, None], hidden.new_ones(len(targets), 1))

    def sparse_loss(
        self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, "rows k"], values: Float[Tensor, "rows k"]
    ) -> HeadLoss:
        """Mean loss of K targets a row.

        Args:
            hidden: N vectors.
            targets: N x K classes.
            values: what their outputs should be (`SquaredError`), or how much each class counts; 0 where there is none.

        Raises:
            ValueError: if there is no row, a target is no class, or W was cast to half precision.
        """
        if len(targets) == 0:
            raise ValueError("a loss needs at least one target: the batch holds none")
        if targets.device.type == "cpu":
            low, high = (int(end) for end in targets.aminmax())
            if not 0 <= low <= high < self.table.num_rows:
                raise ValueError(f"targets lie in [{low}, {high}], and there are {self.table.num_rows} classes")
        loss = self.table.mean_loss(hidden, targets, values, self.spherical_loss)
        return HeadLoss(loss, loss.detach(), self.table.diagnostics)

    def log_probs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Log-probability of each target in nats, float32.

        That of the loss, in O(D^2), where it is a probability. Else that of a softmax over z-scores times a sharpness,
        which `calibrate` fits, in O(V D).

        Raises:
            ValueError: if it was not calibrated.
        """
        if not self.spherical_loss.is_probability:
            return log_probs_of(self._sharpened(hidden, self._calibrated), targets)
        outputs = self.table.outputs(hidden, targets[:, None])
        return -self.spherical_loss.partials(outputs, torch.ones_like(outputs.targets)).value

    @torch.no_grad()
    def least_nats(self) -> Float[Tensor, " vocab"]:
        """Bound from below of `-log p` of each class, whatever the hidden vector is, in nats, float64, in O(V D^2).

        Row c of X is `(w_c, b_c + offset)`, so that the outputs whose squares make the probabilities are `X (h, 1)`.
        Then `p_c <= max(l_c, 1 / V)` with the leverage `l_c = x_c^T (X^T X)^+ x_c`, and all leverages sum to at most
        D + 1: with many classes few can be likely. How likely each can be is up to what W has learned.

        Raises:
            ValueError: if the loss has no such probabilities.
        """
        offset = self.spherical_loss.offset
        if offset is None:
            raise ValueError(
                f"leverage bounds no likelihood of {type(self.spherical_loss).__name__}: it does that of "
                "SphericalSoftmax and TaylorSoftmax"
            )
        # outputs at the unit vectors and at 0 have the span of W's columns and of b + offset, which is all that counts
        corners = F.pad(torch.eye(self.table.width, device=self.sharpness.device), (0, 0, 0, 1))
        gram = self.sharpness.new_zeros(2 * corners.shape[:1], dtype=torch.float64)
        for x in self._shifted(corners, offset):
            gram += x @ x.T
        inverse = torch.linalg.pinv(gram, rtol=1e-12, hermitian=True)
        leverages = [(x * (inverse @ x)).sum(0) for x in self._shifted(corners, offset)]
        return -torch.cat(leverages).clamp(1 / self.table.num_rows, 1).log()

    def _shifted(self, hidden: Tensor, offset: float) -> Iterator[Tensor]:
        """Scores plus an offset in float64, a block of classes at a time."""
        for _, scores in self.table.score_blocks(hidden):
            yield scores.double() + offset

    @torch.no_grad()
    def calibrate(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> None:
        """Fit the sharpness to the likelihood of some rows, the first 512; all processes take that of the first."""
        hidden, targets = hidden[:_CALIBRATED_ON], targets[:_CALIBRATED_ON]

        def nll(logarithm: float) -> float:
            sharpness = self.sharpness.new_tensor(logarithm).exp()
            return -float(log_probs_of(self._sharpened(hidden, sharpness), targets).mean())

        found = minimize_scalar(nll, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 0.01})
        self.sharpness.fill_(found.x).exp_()
        if num_processes() > 1:
            torch.distributed.broadcast(self.sharpness, 0)

    @property
    def _calibrated(self) -> Tensor:
        if torch.isnan(self.sharpness):
            raise ValueError(
                f"{type(self.spherical_loss).__name__} is no probability, and its scores were never calibrated: run a "
                "validation (trainer.limit_val_batches above 0), or call calibrate"
            )
        return self.sharpness

    def _sharpened(self, hidden: Tensor, sharpness: Tensor) -> Blocks:
        """Z-scores of the outputs, times the sharpness."""
        first = torch.zeros(len(hidden), 1, dtype=torch.int64, device=hidden.device)
        with torch.no_grad():
            outputs = self.table.outputs(hidden, first)
        mean = outputs.total[:, None] / outputs.number
        variance = outputs.square_norm[:, None] / outputs.number - mean.square()
        factor = sharpness / variance.clamp(min=1e-12).sqrt()
        for start, scores in self.table.score_blocks(hidden):
            yield start, (scores - mean) * factor

    def topk(self, hidden: Float[Tensor, "rows dim"], k: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best of what the loss ranks classes by, and their ids, best first."""
        return best_of(self._ranked(hidden), k)

    def _ranked(self, hidden: Tensor) -> Blocks:
        for start, scores in self.table.score_blocks(hidden):
            yield start, self.spherical_loss.ranking(scores)

    def ranks(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Int[Tensor, " rows"]:
        """How many tokens score at least as high as each target, itself included."""
        return ranks_of(lambda: self._ranked(hidden), targets)

    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """One id a row, drawn from the probabilities to the power of `1 / temperature`, normalised again.

        Raises:
            ValueError: if they need a calibration and had none.
        """
        if self.spherical_loss.is_probability:
            return draw_best(self._logits(hidden, temperature), generator)
        return draw_best(self._sharpened(hidden, self._calibrated / temperature), generator)

    def _logits(self, hidden: Tensor, temperature: float) -> Blocks:
        for start, scores in self.table.score_blocks(hidden):
            yield start, self.spherical_loss.logits(scores) / temperature


def _factored(
    table: OutputMatrix, update: str, lr: float, weight_decay: float, bias: bool, centre: bool
) -> FactoredTable:
    if lr <= 0 or weight_decay < 0:
        raise ValueError(f"lr={lr} must be above 0 and weight_decay={weight_decay} at least 0")
    matrix = F.pad(table.weight().detach(), (0, int(bias)))
    if centre:
        matrix -= matrix.mean(0)
    return FactoredTable(matrix, table.width, _update(update, matrix.shape[1]).to(matrix), lr, weight_decay)


def _update(name: str, width: int) -> ColumnUpdate:
    if name == "sgd":
        return PlainUpdate()
    if name == "coupled":
        return CoupledUpdate(width)
    if name == "kronecker":
        return KroneckerUpdate(width)
    if name.lower().startswith("adam"):
        raise ValueError(
            f"update={name}: Adam has a denominator for each number of W, and an exact step cannot be kept in factors "
            "then: use coupled (Coupled Adam with beta1 = 0) or sgd"
        )
    raise ValueError(f"update={name}: there are sgd, coupled and kronecker")
