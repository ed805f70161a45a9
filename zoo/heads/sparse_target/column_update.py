"""Which matrix C a gradient of W is multiplied with from the right before the step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ColumnUpdate(nn.Module, ABC):
    """`W <- W - eta dL/dW C` with a symmetric C of d x d: all that `W = V U + 1 omega^T` admits.

    An optimizer with a state for each number of W, as Adam has, cannot be written so. State is kept in buffers.
    """

    @contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """Inside of it, an exception leaves the state as it was."""
        before = [buffer.clone() for buffer in self.buffers()]
        try:
            yield
        except BaseException:
            for buffer, kept in zip(self.buffers(), before, strict=True):
                buffer.copy_(kept)
            raise

    @abstractmethod
    def observe(self, hidden: Tensor, column_squares: Tensor, number: int) -> None:
        """Told of each gradient before the step that it makes.

        Args:
            hidden: H, (m, d).
            column_squares: of dL/dW, (d,).
            number: D.
        """

    @abstractmethod
    def right(self, rows: Tensor) -> Tensor:
        """`rows C`."""


class PlainUpdate(ColumnUpdate):
    """C = I: gradient descent."""

    def observe(self, hidden: Tensor, column_squares: Tensor, number: int) -> None:
        """Nothing."""

    def right(self, rows: Tensor) -> Tensor:
        """The rows."""
        return rows


class CoupledUpdate(ColumnUpdate):
    """`C = diag(1 / (sqrt(v / (1 - beta2^t)) + eps))`: Coupled Adam with beta1 = 0, exactly.

    v is the running mean of `column_squares / D`, the mean over the vocabulary of the squared gradient of each column.

    Args:
        width: d.
        beta2: decay of the running mean, in [0, 1).
        eps: above 0.

    References:
        F. Stollenwerk and T. Stollenwerk, Better Embeddings with Coupled Adam, arXiv 2502.08441.
    """

    second_moment: Tensor
    steps: Tensor

    def __init__(self, width: int, beta2: float = 0.95, eps: float = 1e-8) -> None:
        super().__init__()
        if not 0 <= beta2 < 1 or eps <= 0:
            raise ValueError(f"beta2={beta2} must lie in [0, 1) and eps={eps} above 0")
        self.beta2, self.eps = beta2, eps
        self.register_buffer("second_moment", torch.zeros(width))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def observe(self, hidden: Tensor, column_squares: Tensor, number: int) -> None:
        """Add to the running mean."""
        # rounding can bring the square of a column that is nearly 0 below it
        self.second_moment.lerp_(column_squares.clamp(min=0) / number, 1 - self.beta2)
        self.steps += 1

    def right(self, rows: Tensor) -> Tensor:
        """Each column over the root of its running mean."""
        correction = 1 - self.beta2 ** int(self.steps)
        return rows / ((self.second_moment / correction).sqrt() + self.eps)


class KroneckerUpdate(ColumnUpdate):
    """`C = (E[h h^T] + damping I)^-1` with a running mean over the batches: the input side of K-FAC.

    Args:
        width: d.
        decay: of the running mean, in [0, 1).
        damping: added to the diagonal as a share of its mean, above 0.

    References:
        J. Martens and R. Grosse, Optimizing Neural Networks with Kronecker-factored Approximate Curvature,
        arXiv 1503.05671.

    Differs from the paper:
        The factor of the output side is left out: it would need a state for each class.
    """

    covariance: Tensor
    preconditioner: Tensor
    steps: Tensor

    def __init__(self, width: int, decay: float = 0.95, damping: float = 0.1) -> None:
        super().__init__()
        if not 0 <= decay < 1 or damping <= 0:
            raise ValueError(f"decay={decay} must lie in [0, 1) and damping={damping} above 0")
        self.decay, self.damping = decay, damping
        self.register_buffer("covariance", torch.zeros(width, width))
        self.register_buffer("preconditioner", torch.eye(width))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def observe(self, hidden: Tensor, column_squares: Tensor, number: int) -> None:
        """Add to the running mean, and invert it."""
        self.covariance.lerp_(hidden.T @ hidden / len(hidden), 1 - self.decay)
        self.steps += 1
        mean = self.covariance / (1 - self.decay ** int(self.steps))
        mean.diagonal().add_(self.damping * mean.diagonal().mean())
        self.preconditioner.copy_(torch.cholesky_inverse(torch.linalg.cholesky(mean)))

    def right(self, rows: Tensor) -> Tensor:
        """`rows C`."""
        return rows @ self.preconditioner
