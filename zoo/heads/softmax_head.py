"""The full softmax."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.contracts import HeadLoss, OutputHead, OutputTable
from zoo.layers.linear_cross_entropy import chunk_rows, linear_cross_entropy


class SoftmaxHead(OutputHead):
    """`p(y | h) = softmax(W h + b)_y`, trained by cross-entropy in chunks of rows.

    Args:
        table: the output table W, V x D.
        bias: whether there is one learned number b a token.

    Example:
        >>> import torch
        >>> from zoo.layers.output_matrix import OutputMatrix
        >>> head = SoftmaxHead(OutputMatrix(100, 8, init_std=0.0))
        >>> round(float(head.loss(torch.ones(3, 8), torch.tensor([1, 2, 3])).nll), 4)  # log 100
        4.6052
    """

    zero_sum = True

    def __init__(self, table: OutputTable, bias: bool = True) -> None:
        super().__init__()
        self.table = table
        self.bias = nn.Parameter(torch.zeros(table.num_rows)) if bias else None

    def loss(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> HeadLoss:
        """Mean cross-entropy in nats; (N, V) scores are never held.

        Raises:
            ValueError: if there is no row.
        """
        if torch.is_grad_enabled():
            loss = linear_cross_entropy(hidden, self.table.weight(), targets, self.bias)
        else:
            loss = -self.log_probs(hidden, targets).mean()
        return HeadLoss(loss, loss.detach())

    def log_probs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Log-probability of each target in nats, float32."""
        chosen = []
        rows = chunk_rows(self.table.num_rows)
        for x, y in zip(hidden.split(rows), targets.split(rows), strict=True):
            chosen.append(self._scores(x).log_softmax(-1).gather(1, y[:, None]).squeeze(1))
        return torch.cat(chosen)

    def topk(self, hidden: Float[Tensor, "rows dim"], k: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""
        best = [self._scores(x).topk(k) for x in hidden.split(chunk_rows(self.table.num_rows))]
        return torch.cat([b.values for b in best]), torch.cat([b.indices for b in best])

    def _scores(self, hidden: Tensor) -> Tensor:
        scores = hidden @ self.table.weight().T
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return scores if self.bias is None else scores + self.bias
