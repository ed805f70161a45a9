"""A table of one row a token, for a head of its own or for both sides of a tied vocabulary."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contracts import OutputTable
from zoo.layers.linear_cross_entropy import chunk_rows, linear_cross_entropy
from zoo.layers.score_blocks import ranks_in


class OutputMatrix(OutputTable):
    """A V x D parameter.

    Args:
        num_rows: V, size of the vocabulary.
        width: D.
        init_std: standard deviation of the normal initialisation.
    """

    def __init__(self, num_rows: int, width: int, init_std: float = 0.02) -> None:
        super().__init__()
        self.num_rows, self.width = num_rows, width
        self.matrix = nn.Parameter(torch.empty(num_rows, width))
        nn.init.normal_(self.matrix, std=init_std)

    def weight(self) -> Float[Tensor, "vocab dim"]:
        """The table itself."""
        return self.matrix

    def rows(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        """The rows of `ids`."""
        return F.embedding(ids, self.matrix)

    def cross_entropy(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats, in chunks of rows; (N, V) scores are never held.

        Raises:
            ValueError: if there is no row.
        """
        if torch.is_grad_enabled():
            return linear_cross_entropy(hidden, self.matrix, targets, bias)
        return -self.log_probs(hidden, targets, bias).mean()

    def log_probs(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Log-probability of each target in nats, at least float32."""
        rows = chunk_rows(self.num_rows)
        chosen = [
            self._scores(x, bias).log_softmax(-1).gather(1, y[:, None]).squeeze(1)
            for x, y in zip(hidden.split(rows), targets.split(rows), strict=True)
        ]
        return torch.cat(chosen)

    def topk(
        self, hidden: Float[Tensor, "rows dim"], k: int, bias: Float[Tensor, " vocab"] | None = None
    ) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""
        best = [self._scores(x, bias).topk(k) for x in hidden.split(chunk_rows(self.num_rows))]
        return torch.cat([b.values for b in best]), torch.cat([b.indices for b in best])

    def ranks(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Int[Tensor, " rows"]:
        """How many tokens score at least as high as each target, itself included."""
        wide = torch.promote_types(torch.promote_types(hidden.dtype, self.matrix.dtype), torch.float32)
        found = []
        with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
            factor, rows = self.matrix.to(wide).T, chunk_rows(self.num_rows)
            for x, y in zip(hidden.split(rows), targets.split(rows), strict=True):
                scores = x.to(wide) @ factor
                found.append(ranks_in(scores if bias is None else scores + bias, y))
        return torch.cat(found)

    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        bias: Float[Tensor, " vocab"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """One id a row, drawn from `softmax(W h + b)`, in chunks of rows."""
        chances = (self._scores(x, bias).softmax(-1) for x in hidden.split(chunk_rows(self.num_rows)))
        return torch.cat([part.multinomial(1, generator=generator).squeeze(1) for part in chances])

    def _scores(self, hidden: Tensor, bias: Tensor | None) -> Tensor:
        scores = hidden @ self.matrix.T
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return scores if bias is None else scores + bias
