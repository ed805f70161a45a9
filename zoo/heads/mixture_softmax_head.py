"""A mixture of softmaxes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.contracts import HeadLoss, OutputHead, OutputTable
from zoo.layers.linear_cross_entropy import chunk_rows
from zoo.layers.score_blocks import ranks_in


class MixtureSoftmaxHead(OutputHead):
    """`p(y | h) = sum_k pi_k(h) softmax(W P_k h)_y` with `pi = softmax(U h)`, the P_k starting near the identity.

    The logarithm of a mixture has no bound on its rank, where that of one softmax has D, and that of a product of
    digit softmaxes (a tied subspace table) much less. Over a full table a training step holds K x N x V scores; over a
    subspace table nothing of the size of the vocabulary.

    Args:
        table: the output table W, V x D.
        components: K, at least 1.

    Raises:
        ValueError: if there is no component.

    References:
        Z. Yang et al., Breaking the Softmax Bottleneck, arXiv 1711.03953.

    Differs from the paper:
        The P_k are linear, without tanh.
    """

    zero_sum = True

    def __init__(self, table: OutputTable, components: int = 4) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"a mixture needs at least one component, not {components}: set head.components")
        self.table, self.components = table, components
        self.weights = nn.Linear(table.width, components, bias=False)
        nn.init.normal_(self.weights.weight, std=0.02)
        start = torch.eye(table.width).repeat(components, 1)
        self.project = nn.Linear(table.width, components * table.width, bias=False)
        with torch.no_grad():
            self.project.weight.copy_(start + 0.02 * torch.randn_like(start))

    def loss(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> HeadLoss:
        """Mean negative log-likelihood in nats.

        Raises:
            ValueError: if there is no row.
        """
        if len(targets) == 0:
            raise ValueError("cross-entropy needs at least one target: the batch holds none")
        loss = -self.log_probs(hidden, targets).mean()
        return HeadLoss(loss, loss.detach())

    def log_probs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Log-probability of each target in nats, float32."""
        weights, projected = self._parts(hidden)
        each = self.table.log_probs(projected.flatten(0, 1), targets.repeat(self.components), None)
        return (weights.T + each.view(self.components, -1)).logsumexp(0)

    def topk(self, hidden: Float[Tensor, "rows dim"], k: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k largest log-probabilities of each row and their ids, best first: all of them are computed."""
        best = [scores.topk(k) for scores in self._all_log_probs(hidden)]
        return torch.cat([b.values for b in best]), torch.cat([b.indices for b in best])

    def ranks(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Int[Tensor, " rows"]:
        """How many tokens score at least as high as each target, itself included."""
        with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
            wide = hidden.to(torch.promote_types(hidden.dtype, self.project.weight.dtype))
            chunks = targets.split(self._chunk_rows)
            found = [ranks_in(scores, y) for scores, y in zip(self._all_log_probs(wide), chunks, strict=True)]
        return torch.cat(found)

    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """One id a row: a component, then a token of it.

        Raises:
            ValueError: if the temperature is not 1, which has no short form for a mixture.
        """
        if temperature != 1:
            raise ValueError(f"a mixture of softmaxes samples at temperature 1 only, not {temperature}")
        weights, projected = self._parts(hidden)
        component = weights.exp().multinomial(1, generator=generator).squeeze(1)
        rows = torch.arange(len(hidden), device=hidden.device)
        return self.table.sample(projected[component, rows], None, generator)

    @property
    def _chunk_rows(self) -> int:
        return chunk_rows(self.table.num_rows * self.components)

    def _all_log_probs(self, hidden: Tensor) -> Iterator[Tensor]:
        """Those of all tokens, (rows, V), for some rows at a time."""
        tokens = self.table.num_rows
        table = self.table.weight() if self.table.scores_are_products else None
        for rows in hidden.split(self._chunk_rows):
            weights, projected = self._parts(rows)
            if table is None:
                values, ids = self.table.topk(projected.flatten(0, 1), tokens)
                scores = torch.empty_like(values).scatter(1, ids, values)
            else:
                scores = projected.flatten(0, 1) @ table.T
            each = scores.to(weights.dtype).log_softmax(-1)
            every = weights.T[:, :, None] + each.view(self.components, len(rows), tokens)
            yield every.logsumexp(0)

    def _parts(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Log-weights (N, K), at least float32, and projected vectors (K, N, D)."""
        scores = self.weights(hidden)
        weights = scores.to(torch.promote_types(scores.dtype, torch.float32)).log_softmax(-1)
        return weights, self.project(hidden).unflatten(-1, (self.components, -1)).transpose(0, 1)
