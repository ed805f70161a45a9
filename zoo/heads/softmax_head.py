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
        start_at_frequencies: whether the bias starts at `log(count + 1)` of each token in the training texts, less the
            mean, in place of 0.

    Raises:
        ValueError: if a bias that is not there should start somewhere.

    Example:
        >>> import torch
        >>> from zoo.layers.output_matrix import OutputMatrix
        >>> head = SoftmaxHead(OutputMatrix(100, 8, init_std=0.0))
        >>> round(float(head.loss(torch.ones(3, 8), torch.tensor([1, 2, 3])).nll), 4)  # log 100
        4.6052
    """

    zero_sum = True

    def __init__(self, table: OutputTable, bias: bool = True, start_at_frequencies: bool = False) -> None:
        super().__init__()
        if start_at_frequencies and not bias:
            raise ValueError("start_at_frequencies is the start of a bias: set bias: true, or leave it out")
        self.table = table
        # of chained digits no score is known without those of other tokens
        self.target_values = "weights" if table.scores_are_products else None
        self.bias = nn.Parameter(torch.zeros(table.num_rows)) if bias else None
        self.start_at_frequencies = start_at_frequencies

    def start_bias(self, counts: Int[Tensor, " vocab"]) -> None:
        """Start the bias at the frequencies, if asked for."""
        if self.start_at_frequencies and self.bias is not None:
            logs = (counts + 1).double().log()
            with torch.no_grad():
                self.bias.copy_(logs - logs.mean())

    def loss(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> HeadLoss:
        """Mean cross-entropy in nats; the table computes it without the (N, V) scores.

        Raises:
            ValueError: if there is no row.
        """
        loss = self.table.cross_entropy(hidden, targets, self.bias)
        return HeadLoss(loss, loss.detach())

    def sparse_loss(
        self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, "rows k"], values: Float[Tensor, "rows k"]
    ) -> HeadLoss:
        """Mean of `-sum_k y_k log p(t_k)` in nats, for weights y that sum to 1 in each row.

        It is `-log p(t_1) + sum_k y_k (s(t_1) - s(t_k))` with scores s, so that the softmax is computed once a row.

        Args:
            hidden: N vectors.
            targets: N x K classes.
            values: y, 0 where there is no target.

        Raises:
            ValueError: if there is no row.
        """
        rows = self.table.rows(targets.flatten()).unflatten(0, targets.shape)
        wide = torch.promote_types(torch.promote_types(hidden.dtype, rows.dtype), torch.float32)
        scores = (rows.to(wide) * hidden.to(wide)[:, None]).sum(-1)
        if self.bias is not None:
            scores = scores + self.bias[targets]
        distance = (values * (scores[:, :1] - scores)).sum(-1).mean()
        loss = self.table.cross_entropy(hidden, targets[:, 0], self.bias) + distance
        return HeadLoss(loss, loss.detach())

    def log_probs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Log-probability of each target in nats, float32."""
        return self.table.log_probs(hidden, targets, self.bias)

    def topk(self, hidden: Float[Tensor, "rows dim"], k: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""
        return self.table.topk(hidden, k, self.bias)

    def ranks(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Int[Tensor, " rows"]:
        """How many tokens score at least as high as each target, itself included."""
        return self.table.ranks(hidden, targets, self.bias)

    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """One id a row, drawn from `softmax((W h + b) / temperature)`.

        Raises:
            ValueError: if the temperature is not 1 over a table whose scores are no products.
        """
        if temperature != 1 and not self.table.scores_are_products:
            raise ValueError(f"{type(self.table).__name__} samples at temperature 1 only, not {temperature}")
        bias = None if self.bias is None else self.bias / temperature
        return self.table.sample(hidden / temperature, bias, generator)
