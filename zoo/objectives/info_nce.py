"""The InfoNCE loss over in-batch negatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from zoo.contracts import PairBatch
from zoo.layers.all_processes import counts_of_all, num_processes, rows_of_all
from zoo.objectives.pair_loss import PairLoss

_SCORES = 2**22  # that are held at a time: 16 MB


class InfoNCE(PairLoss):
    """`L = -mean_i log( exp(q_i . d_i / t) / sum_j exp(q_i . d_j / t) )` with unit vectors q and d.

    j runs over all documents and all queries' hard negatives; in training those of all processes, and the gradient
    that they average is the gradient of one process on all their pairs. Scores are float32 at least.

    Args:
        temperature: t, its start value if it is learned.
        learn_temperature: train `log(1/t)`; it is kept below log 100, as CLIP does, so that it cannot run away.
        bidirectional: take the mean with the same loss from documents to queries; hard negatives are no anchors.
        false_negative_margin: m; column j of query i is left out if `q_i . d_j > q_i . d_i + m`, if its text is that of
            d_i, or if it is the document of another query of the same text. Null leaves out none.
        chunk_texts: most texts of one side that are embedded at a time with what their gradient needs; their vectors
            are computed once more for it (GradCache). Null embeds all at once.

    Raises:
        ValueError: if an option is out of range; in `forward`, if there is no document for each query, or not the same
            number of hard negatives.

    References:
        van den Oord et al., arXiv 1807.03748, equation 4; Radford et al., CLIP, arXiv 2103.00020, section 2.3;
        Zhang et al., Qwen3 Embedding, arXiv 2506.05176, for the rule of false negatives (there m = 0.1);
        Gao et al., Scaling Deep Contrastive Learning Batch Size, arXiv 2101.06983 (GradCache).
    """

    def __init__(
        self,
        temperature: float = 0.05,
        learn_temperature: bool = False,
        bidirectional: bool = False,
        false_negative_margin: float | None = None,
        chunk_texts: int | None = None,
    ) -> None:
        super().__init__()
        if not temperature >= 0.01:
            raise ValueError(f"temperature must be at least 0.01, not {temperature}")
        if false_negative_margin is not None and not 0 <= false_negative_margin <= 2:
            raise ValueError(f"false_negative_margin is a difference of cosines in [0, 2], not {false_negative_margin}")
        if chunk_texts is not None and chunk_texts < 1:
            raise ValueError(f"chunk_texts must be at least 1, not {chunk_texts}: null embeds all texts at once")
        scale = torch.tensor(math.log(1 / temperature))
        self.log_scale = nn.Parameter(scale, requires_grad=learn_temperature)
        self.bidirectional = bidirectional
        self.false_negative_margin = false_negative_margin
        self.chunk_texts = chunk_texts

    def forward(
        self,
        queries: Float[Tensor, "pairs dim"],
        documents: Float[Tensor, "documents dim"],
        batch: PairBatch | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Loss in nats and the share of queries whose own document comes first.

        Args:
            queries: B vectors of any length; they are normalised here.
            documents: the B documents, then n hard negatives a query; all are negatives of the queries they are not of.
            batch: the texts that the vectors stand for; None where they are not known, and none is then the same.
        """
        pairs = len(queries)
        if len(documents) < pairs or len(documents) % pairs:
            raise ValueError(
                f"{len(documents)} documents for {pairs} queries: give each query its document, and all queries the "
                "same number of hard negatives"
            )
        with torch.autocast(queries.device.type, enabled=False):
            q, d = _unit(queries), _unit(documents)
            query_ids = document_ids = owners = None
            if batch is not None and self.false_negative_margin is not None:
                query_ids, document_ids = batch.queries.fingerprints(), batch.documents.fingerprints()
                owners = F.pad(query_ids, (0, len(d) - pairs))
            loss, accuracy = self._one_way(q, _Columns(d, document_ids, owners))
            if self.bidirectional:
                own = None if document_ids is None else document_ids[:pairs]
                loss = (loss + self._one_way(d[:pairs], _Columns(q, query_ids, own))[0]) / 2
        return loss, accuracy

    def _one_way(self, anchors: Tensor, columns: _Columns) -> tuple[Tensor, Tensor]:
        """Loss and accuracy of anchors that look for the columns of their own number.

        The loss is a sum over this process, divided by the mean number of anchors of a process: so the mean over
        processes is the mean over anchors.
        """
        counts, totals, first = [len(columns.vectors)], [len(anchors)], 0
        # evaluation gives the processes different numbers of batches, and they would wait for each other
        if self.training and num_processes() > 1:
            device = anchors.device
            counts, totals = counts_of_all(counts[0], device), counts_of_all(totals[0], device)
            first = sum(counts[: torch.distributed.get_rank()])
            columns = columns.of_all_processes(counts)
        own = torch.arange(first, first + len(anchors), device=anchors.device)
        rows = max(1, _SCORES // len(columns.vectors))
        blocks = list(zip(anchors.split(rows), own.split(rows), strict=True))
        found = [
            checkpoint(self._summed, *block, columns, use_reentrant=False, preserve_rng_state=False)
            if len(blocks) > 1
            else self._summed(*block, columns)
            for block in blocks
        ]
        losses, hits = zip(*found, strict=True)
        return torch.stack(losses).sum() * (len(totals) / sum(totals)), torch.stack(hits).sum() / len(anchors)

    def _summed(self, anchors: Tensor, own: Tensor, columns: _Columns) -> tuple[Tensor, Tensor]:
        """Summed loss of some anchors, and how many score their own column highest."""
        scale = self.log_scale.clamp(max=math.log(100)).exp()
        scores = scale * anchors @ columns.vectors.T
        if self.false_negative_margin is not None:
            with torch.no_grad():
                false = scores > scores.gather(1, own[:, None]) + scale * self.false_negative_margin
                for ids in (columns.texts, columns.owners):
                    if ids is not None:
                        false |= ids[own, None] == ids
                false.scatter_(1, own[:, None], False)
            scores = scores.masked_fill(false, -math.inf)
        return F.cross_entropy(scores, own, reduction="sum"), (scores.argmax(1) == own).sum()


class _Columns(NamedTuple):
    """What anchors choose from.

    Args:
        vectors: one a column, of unit length.
        texts: a number for each column, the same for equal texts; None where texts are not compared.
        owners: the number of the text that each column belongs to; 0 for a hard negative.
    """

    vectors: Tensor
    texts: Tensor | None
    owners: Tensor | None

    def of_all_processes(self, counts: Sequence[int]) -> _Columns:
        """The columns of all processes, of which each has one of `counts`."""
        texts, owners = (None if ids is None else rows_of_all(ids, counts) for ids in (self.texts, self.owners))
        return _Columns(rows_of_all(self.vectors, counts), texts, owners)


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)
