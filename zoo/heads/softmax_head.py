"""The full softmax."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.contracts import HeadLoss, OutputHead, OutputTable


class SoftmaxHead(OutputHead):
    """`p(y | h) = softmax(W h + b)_y`, trained by cross-entropy, which the table computes as it is built.

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
        """Mean cross-entropy in nats; the table computes it without the (N, V) scores.

        Raises:
            ValueError: if there is no row.
        """
        loss = self.table.cross_entropy(hidden, targets, self.bias)
        return HeadLoss(loss, loss.detach())

    def log_probs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Log-probability of each target in nats, float32."""
        return self.table.log_probs(hidden, targets, self.bias)

    def topk(self, hidden: Float[Tensor, "rows dim"], k: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""
        return self.table.topk(hidden, k, self.bias)
