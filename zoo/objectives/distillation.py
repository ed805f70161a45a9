"""A loss over pairs, and what a teacher thinks of each query's own candidates."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoo.contracts import PairBatch
from zoo.layers.all_processes import counts_of_all
from zoo.objectives.info_nce import InfoNCE
from zoo.objectives.pair_loss import PairLoss


class Distillation(PairLoss):
    """`L + w mean_i KL( softmax_c(teacher_ic / t') || softmax_c(q_i . d_ic / t) )` with unit vectors q and d.

    c runs over the document and the hard negatives of query i, whose scores `PairBatch.scores` holds.

    Args:
        weight: w, above 0.
        temperature: t.
        teacher_temperature: t'; 1 for a cross-encoder's logits, about t for cosines.
        loss: factory of L.

    Raises:
        ValueError: if an option is out of range; in `forward`, if there are no scores or no hard negatives.

    References:
        Ren et al., RocketQAv2, arXiv 2110.07367, equation 4 (there both sides are trained).
    """

    def __init__(
        self,
        weight: float = 1.0,
        temperature: float = 0.05,
        teacher_temperature: float = 1.0,
        loss: Callable[[], PairLoss] = InfoNCE,
    ) -> None:
        super().__init__()
        for name, value in (
            ("weight", weight),
            ("temperature", temperature),
            ("teacher_temperature", teacher_temperature),
        ):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0, not {value}")
        self.weight, self.temperature, self.teacher_temperature = weight, temperature, teacher_temperature
        self.loss = loss()
        self.chunk_texts = self.loss.chunk_texts

    def forward(
        self,
        queries: Float[Tensor, "pairs dim"],
        documents: Float[Tensor, "documents dim"],
        batch: PairBatch | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Both losses in nats, and the accuracy of L; see `PairLoss.forward`."""
        if batch is None or batch.scores is None or batch.num_negatives == 0:
            raise ValueError(
                "Distillation needs a teacher's scores of hard negatives: take data that has them, or InfoNCE alone"
            )
        loss, accuracy = self.loss(queries, documents, batch)
        pairs = len(queries)
        with torch.autocast(queries.device.type, enabled=False):
            own = torch.cat([documents[:pairs, None], documents[pairs:].unflatten(0, (pairs, -1))], 1)
            student = F.cosine_similarity(queries[:, None], own, dim=-1) / self.temperature
            teacher = batch.scores.to(student.dtype) / self.teacher_temperature
            divergence = F.kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="sum", log_target=True)
        counts = counts_of_all(pairs, queries.device) if self.training else [pairs]
        # as in InfoNCE: the mean over processes is the mean over queries
        return loss + self.weight * divergence * (len(counts) / sum(counts)), accuracy
