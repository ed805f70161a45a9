"""Cross-entropy with a second, soft target made of the similarities of word vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo.layers.linear_cross_entropy import chunk_rows

_CACHED = 2**20  # scores that are worked on at a time on a CPU: 4 MB in float32


@dataclass(frozen=True)
class _Options:
    temperature: float
    strength: float
    plain: float
    attached: bool
    dtype: torch.dtype


class _AugmentedCrossEntropy(torch.autograd.Function):
    """Gradients are taken chunk by chunk in the forward pass, so that no (N, V) distribution is ever held.

    Rows are sorted by target: a chunk then has few different teachers, and each is computed once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        teacher: Tensor,
        targets: Tensor,
        options: _Options,
    ) -> tuple[Tensor, Tensor, Tensor]:
        order = targets.argsort(stable=True)
        sums = _Sums.zero(hidden, weight, bias, teacher, options)
        for rows in order.split(chunk_rows(len(weight))):
            sums.add(rows, hidden[rows].to(options.dtype), targets[rows])
        ctx.save_for_backward(sums.grad_hidden, sums.grad_weight, sums.grad_bias, sums.grad_teacher)
        ctx.total, ctx.dtypes = len(targets), (hidden.dtype, weight.dtype)
        nll, divergence = sums.nll / len(targets), sums.divergence / len(targets)
        ctx.mark_non_differentiable(nll, divergence)
        return options.plain * nll + options.strength * divergence, nll, divergence

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, teacher = ctx.saved_tensors
        scale = grads[0] / ctx.total
        hidden_dtype, dtype = ctx.dtypes
        scaled = [None if part is None else (part * scale).to(dtype) for part in (weight, bias, teacher)]
        # scaled before it is rounded: in half precision the scale itself can be too small a number
        return (hidden.to(scale.dtype) * scale).to(hidden_dtype), *scaled, None, None


@dataclass
class _Sums:
    """What the chunks add up to."""

    weight: Tensor
    bias: Tensor | None
    teacher: Tensor
    options: _Options
    nll: Tensor
    divergence: Tensor
    grad_hidden: Tensor
    grad_weight: Tensor
    grad_bias: Tensor | None
    grad_teacher: Tensor | None

    @classmethod
    def zero(cls, hidden: Tensor, weight: Tensor, bias: Tensor | None, teacher: Tensor, options: _Options) -> _Sums:
        sums = torch.promote_types(weight.dtype, torch.float32)
        nothing = weight.new_zeros((), dtype=sums)
        return cls(
            weight.to(options.dtype),
            bias,
            teacher.to(options.dtype),
            options,
            nothing,
            nothing,
            torch.empty_like(hidden, dtype=options.dtype),
            torch.zeros_like(weight, dtype=sums),
            None if bias is None else torch.zeros_like(bias, dtype=sums),
            torch.zeros_like(teacher, dtype=sums) if options.attached else None,
        )

    def add(self, rows: Tensor, x: Tensor, targets: Tensor) -> None:
        """Add loss and gradients of some rows."""
        sums = self.nll.dtype
        kinds, kind_of = targets.unique(return_inverse=True)
        queries = self.teacher[kinds]
        soft = (queries @ self.teacher.T).to(sums)
        for part in _blocks(soft):
            soft[part] = (soft[part] / self.options.temperature).log_softmax(-1)
        pull = torch.zeros_like(soft) if self.options.attached else None
        scores = (x @ self.weight.T).to(sums)
        for part in _blocks(scores):
            self._turn_into_error(scores[part], targets[part], soft, kind_of[part], pull)
        if self.grad_teacher is not None and pull is not None:
            change = (pull * (self.options.strength / self.options.temperature)).to(self.options.dtype)
            self.grad_teacher += (change.T @ queries).to(sums)
            self.grad_teacher.index_add_(0, kinds, (change @ self.teacher).to(sums))
        error = scores.to(self.options.dtype)
        self.grad_hidden[rows] = error @ self.weight
        self.grad_weight += (error.T @ x).to(sums)

    def _turn_into_error(
        self, scores: Tensor, targets: Tensor, soft: Tensor, kind_of: Tensor, pull: Tensor | None
    ) -> None:
        """Add the losses of a few rows, and put the gradient of their scores in the place of the scores.

        Args:
            scores: without a bias.
            targets: class ids.
            soft: log-probabilities of the teachers, one a kind of target.
            kind_of: which of them is whose.
            pull: takes up the gradient of the teachers' scores, but for a factor.
        """
        tau, strength = self.options.temperature, self.options.strength
        student = (scores / tau).log_softmax(-1)
        teacher = soft[kind_of]
        expected = teacher.exp()
        excess = teacher.sub_(student).mul_(expected)
        divergence = excess.sum(-1)
        self.divergence = self.divergence + divergence.sum()
        if pull is not None:
            pull.index_add_(0, kind_of, excess - expected * divergence[:, None])
        if self.bias is not None:
            scores += self.bias
        log_probs = scores.log_softmax(-1)
        picked = targets[:, None]
        self.nll = self.nll - log_probs.gather(1, picked).sum()
        error = torch.exp(log_probs, out=scores)
        error.scatter_add_(1, picked, torch.full_like(picked, -1, dtype=error.dtype))
        if self.options.plain != 1:
            error *= self.options.plain
        if self.grad_bias is not None:
            self.grad_bias += error.sum(0)
        error.add_(student.exp_().sub_(expected), alpha=strength / tau)


def _blocks(scores: Tensor) -> list[slice]:
    """Few rows at a time on a CPU, so that what is done to them one after the other is done in its caches."""
    count = len(scores)
    size = max(1, _CACHED // scores.shape[1]) if scores.device.type == "cpu" else count
    return [slice(start, start + size) for start in range(0, count, size)]


def augmented_cross_entropy(
    hidden: Float[Tensor, "rows dim"],
    weight: Float[Tensor, "vocab dim"],
    teacher: Float[Tensor, "vocab dim"],
    targets: Int[Tensor, " rows"],
    bias: Float[Tensor, " vocab"] | None = None,
    *,
    temperature: float = 20.0,
    strength: float = 1.0,
    plain: float = 1.0,
    attached: bool = False,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean of `plain CE(y, softmax(W h + b)) + strength KL(softmax(L l_y / tau) || softmax(W h / tau))`, of CE, of KL.

    The second and third have no gradient. At most `chunk_rows(V)` rows of scores exist at a time. The result can be
    differentiated once.

    Args:
        hidden: N vectors h.
        weight: the output table W.
        teacher: the input table L, whose row l_y is the vector of the target.
        targets: N class ids y.
        bias: b, one number a class; it has no part in the second term.
        temperature: tau.
        strength: of the second term.
        plain: weight of the first term.
        attached: whether the gradient also flows into L.

    Raises:
        ValueError: if there is no row.
    """
    if len(targets) == 0:
        raise ValueError("cross-entropy needs at least one target: the batch holds none")
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    options = _Options(temperature, strength, plain, attached, dtype)
    given = teacher if attached else teacher.detach()
    with torch.autocast(device, enabled=False):
        loss, nll, divergence = _AugmentedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, given, targets, options
        )
    return loss, nll, divergence
