"""Contrastive learning of text embeddings."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from zoo.contracts import PackedBatch, PairBatch, PairView, Vocabulary
from zoo.layers.pooling import mean_pool
from zoo.objectives.factories import (
    AdamW,
    DenseEncoder,
    EmbeddingFactory,
    EncoderFactory,
    FullEmbedding,
    OptimizerFactory,
    ScheduleFactory,
    WarmupCosine,
)
from zoo.objectives.info_nce import InfoNCE
from zoo.objectives.objective import Objective

SEARCH_PREFIXES = PairView("search_query: ", "search_document: ")


class Contrastive(Objective):
    """A bi-encoder: query and document are encoded alike, mean-pooled, and a query must find its document.

    Args:
        width: D, also the size of the text embeddings.
        embedding: factory of the token embedding.
        encoder: factory of the encoder; it sees both sides.
        optimizer: factory of the optimizer, given parameter groups by role.
        schedule: factory of the learning-rate schedule, given the optimizer and the number of steps.
        loss: factory of the loss over (queries, documents).
        prefixes: what is put before query and document texts.
        init_from: trained model whose weights training starts from: run folder, checkpoint or Hugging Face encoder.

    References:
        Reimers and Gurevych, Sentence-BERT, arXiv 1908.10084; Wang et al., E5, arXiv 2212.03533, for the prefixes.
    """

    def __init__(
        self,
        width: int = 256,
        embedding: EmbeddingFactory = FullEmbedding,
        encoder: EncoderFactory = DenseEncoder,
        optimizer: OptimizerFactory = AdamW,
        schedule: ScheduleFactory = WarmupCosine,
        loss: Callable[[], InfoNCE] = InfoNCE,
        prefixes: PairView = SEARCH_PREFIXES,
        init_from: str | None = None,
    ) -> None:
        super().__init__(width, embedding, encoder, optimizer, schedule, init_from)
        self.prefixes = prefixes
        self.loss = loss()

    @property
    def view(self) -> PairView:
        """Pairs of query and document, with their prefixes."""
        return self.prefixes

    def build_output(self, vocabulary: Vocabulary) -> None:
        """Nothing stands behind the encoder, and what only a head would use is not trained."""
        for parameter in self.embedding.output_only:
            parameter.requires_grad_(False)

    def embed(self, batch: PackedBatch) -> Float[Tensor, "sequences dim"]:
        """One vector a text, float32, not normalised."""
        return mean_pool(self.encode(batch, causal=False).hidden, batch.layout(causal=False))

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Loss of one batch of pairs."""
        sides = (batch.queries, batch.documents)
        outputs = [self.encode(side, causal=False) for side in sides]
        pooled = [mean_pool(o.hidden, s.layout(causal=False)) for o, s in zip(outputs, sides, strict=True)]
        task_loss, accuracy = self.loss(*pooled)
        self.count_tokens(*sides)
        self.report("train", {"loss": task_loss, "accuracy": accuracy}, batch_size=batch.queries.num_sequences)
        loss: Tensor = task_loss
        for output in outputs:
            loss = self.total_loss(loss, output)
        return loss

    def _evaluate(self, stage: str, batch: PairBatch) -> None:
        loss, accuracy = self.loss(self.embed(batch.queries), self.embed(batch.documents))
        self.report(stage, {"loss": loss, "accuracy": accuracy}, batch_size=batch.queries.num_sequences)

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Loss and accuracy over the batch's own negatives."""
        self._evaluate("val", batch)

    def test_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Loss and accuracy on the test split."""
        self._evaluate("test", batch)

    def predict_step(self, batch: PairBatch, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Embeddings of queries and documents."""
        return self.embed(batch.queries), self.embed(batch.documents)
