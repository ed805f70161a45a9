"""A softmax in clusters by frequency, in which rare tokens have narrow rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.contracts import HeadLoss, OutputHead, OutputTable, TokenEmbedding, Vocabulary
from zoo.layers.linear_cross_entropy import chunk_rows
from zoo.layers.score_blocks import ranks_in


class AdaptiveSoftmaxHead(OutputHead):
    """`p(y | h) = softmax(A h)_y` for frequent y, `softmax(A h)_c softmax(B_c P_c h)_y` for y of cluster c.

    The layers of `torch.nn.AdaptiveLogSoftmaxWithLoss` over tokens in the order of their frequency: A has a row for
    each token before the first cutoff and for each cluster, P_c is D / div_value^c x D. A training step scores each
    cluster for the rows whose target is in it. All probabilities are exact.

    The rows are its own: of the table that it is given it takes the size and keeps nothing, so there is no `table`.
    A and all B_c are vocabulary tables for optimizers, and the gradient of each sums to 0 over its rows.

    Args:
        table: the output table that it stands in for, V x D.
        cutoffs: places by frequency at which clusters begin, rising, from 1 to V - 1; null is V / 16 and V / 4, rounded
            down, near those of Baevski and Auli for vocabularies of 268 thousand (20 and 60 thousand) and 793 thousand
            (60 and 160 thousand).
        div_value: how many times narrower each cluster is than the one before, at least 1.
        bias: whether there is one learned number for each row of A; the clusters have none.

    Raises:
        ValueError: if cutoffs or `div_value` do not fit the vocabulary or the width, or the embedding is tied.

    References:
        E. Grave et al., Efficient softmax approximation for GPUs, arXiv 1609.04309.
        A. Baevski and M. Auli, Adaptive Input Representations for Neural Language Modeling, arXiv 1809.10853.

    Differs from the paper:
        The cutoffs follow from V alone and not from what a product costs on the device.
    """

    zero_sum = True

    def __init__(
        self,
        table: OutputTable,
        cutoffs: Sequence[int] | None = None,
        div_value: float = 4.0,
        bias: bool = False,
    ) -> None:
        super().__init__()
        chosen = _default_cutoffs(table.num_rows) if cutoffs is None else list(cutoffs)
        _check(chosen, div_value, table)
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(table.width, table.num_rows, chosen, div_value, bias)
        tables: list[Any] = [self.softmax.head, *(list(cluster.children())[-1] for cluster in self.softmax.tail)]
        for rows in tables:
            rows.parameter_role = "vocabulary"
        # held beside the rows that they order, so that another run takes over both or neither
        self.softmax.register_buffer("ranks", torch.arange(table.num_rows))
        self.softmax.register_buffer("ranked", torch.tensor(0))

    def use_embedding(self, embedding: TokenEmbedding) -> None:
        """Refuse one that wants its own table multiplied with.

        Raises:
            ValueError: if the embedding is tied.
        """
        if embedding.output_table() is not None:
            raise ValueError(
                f"AdaptiveSoftmaxHead has rows of its own and cannot score with those of {type(embedding).__name__}: "
                "use FullEmbedding, or SubspaceEmbedding with tied: false, or SoftmaxHead"
            )

    def use_vocabulary(self, vocabulary: Vocabulary, counts: Int[Tensor, " vocab"]) -> None:
        """Order the tokens by these frequencies, unless the rows were trained in another order; ties by id."""
        ranks, ranked = self.softmax.get_buffer("ranks"), self.softmax.get_buffer("ranked")
        if not ranked:
            order = counts.argsort(descending=True, stable=True).to(ranks.device)
            ranks[order] = torch.arange(len(ranks), device=ranks.device)
            ranked.fill_(1)

    def loss(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> HeadLoss:
        """Mean cross-entropy in nats.

        Raises:
            ValueError: if there is no row.
        """
        if len(targets) == 0:
            raise ValueError("cross-entropy needs at least one target: the batch holds none")
        loss = -self.log_probs(hidden, targets).mean()
        return HeadLoss(loss, loss.detach())

    def log_probs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Log-probability of each target in nats, at least float32."""
        ranks, first = self.softmax.get_buffer("ranks")[targets], self.softmax.shortlist_size
        cluster_of = sum((ranks >= cutoff for cutoff in self._cutoffs), torch.zeros_like(ranks))
        column = torch.where(cluster_of == 0, ranks, first + cluster_of - 1)
        found = _log_softmax(self.softmax.head, hidden).gather(1, column[:, None]).squeeze(1)
        for number, (cutoff, cluster) in enumerate(zip(self._cutoffs, self.softmax.tail, strict=True), 1):
            # without a target too: processes that train together wait for its gradient of 0
            here = (cluster_of == number).nonzero().squeeze(1)
            inside = _log_softmax(cluster, hidden[here]).gather(1, (ranks[here] - cutoff)[:, None])
            found = found.index_add(0, here, inside.squeeze(1))
        return found

    def topk(self, hidden: Float[Tensor, "rows dim"], k: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k largest log-probabilities of each row and their ids, best first: all of them are computed."""
        best = [scores.topk(k) for scores in self._all_log_probs(hidden)]
        return torch.cat([b.values for b in best]), torch.cat([b.indices for b in best])

    def ranks(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Int[Tensor, " rows"]:
        """How many tokens score at least as high as each target, itself included."""
        with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
            wide = hidden.to(torch.promote_types(hidden.dtype, self.softmax.head.weight.dtype))
            chunks = targets.split(chunk_rows(self.softmax.n_classes))
            found = [ranks_in(scores, y) for scores, y in zip(self._all_log_probs(wide), chunks, strict=True)]
        return torch.cat(found)

    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """One id a row, drawn from the probabilities to the power of `1 / temperature`, normalised again."""
        chances = ((scores / temperature).softmax(-1) for scores in self._all_log_probs(hidden))
        return torch.cat([part.multinomial(1, generator=generator).squeeze(1) for part in chances])

    def _all_log_probs(self, hidden: Tensor) -> Iterator[Tensor]:
        """Those of all tokens in the order of their ids, (rows, V), for some rows at a time."""
        for rows in hidden.split(chunk_rows(self.softmax.n_classes)):
            first = _log_softmax(self.softmax.head, rows)
            frequent, clusters = first.tensor_split([self.softmax.shortlist_size], 1)
            tail = [
                chance[:, None] + _log_softmax(cluster, rows)
                for chance, cluster in zip(clusters.unbind(1), self.softmax.tail, strict=True)
            ]
            yield torch.cat([frequent, *tail], 1)[:, self.softmax.get_buffer("ranks")]

    @property
    def _cutoffs(self) -> list[int]:
        """Without V, which torch appends."""
        return self.softmax.cutoffs[:-1]


def _log_softmax(layer: nn.Module, hidden: Tensor) -> Tensor:
    scores: Tensor = layer(hidden)
    return scores.to(torch.promote_types(scores.dtype, torch.float32)).log_softmax(-1)


def _default_cutoffs(num_rows: int) -> list[int]:
    return sorted({num_rows // 16, num_rows // 4} - {0})


def _check(cutoffs: list[int], div_value: float, table: OutputTable) -> None:
    last = table.num_rows - 1
    if not cutoffs or cutoffs != sorted(set(cutoffs)) or not 1 <= cutoffs[0] <= cutoffs[-1] <= last:
        raise ValueError(
            f"cutoffs must rise from at least 1 to at most {last}, one less than the vocabulary, not {cutoffs}: "
            "null takes V / 16 and V / 4"
        )
    if div_value < 1 or table.width // div_value ** len(cutoffs) < 1:
        raise ValueError(
            f"div_value={div_value} leaves the last of {len(cutoffs)} clusters no column of width {table.width}: set "
            f"it between 1 and {math.floor(100 * table.width ** (1 / len(cutoffs))) / 100}, or give fewer cutoffs"
        )
