"""Contrastive learning of text embeddings."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor

from zoo.contracts import PackedBatch, PairBatch, PairView, Vocabulary
from zoo.layers.all_processes import counts_of_all
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
from zoo.objectives.grad_cache import Embedded, embed_in_chunks
from zoo.objectives.info_nce import InfoNCE
from zoo.objectives.objective import Objective
from zoo.objectives.pair_loss import PairLoss

SEARCH_PREFIXES = PairView("search_query: ", "search_document: ")


class Contrastive(Objective):
    """A bi-encoder: query and document are encoded alike, mean-pooled, and a query must find its document.

    With `chunk_texts` of the loss a side is embedded in chunks (GradCache): the gradient is that of the whole batch,
    the memory that of a chunk and of all vectors.

    Args:
        width: D, also the size of the text embeddings.
        embedding: factory of the token embedding.
        encoder: factory of the encoder; it sees both sides.
        optimizer: factory of the optimizer, given parameter groups by role.
        schedule: factory of the learning-rate schedule, given the optimizer and the number of steps.
        loss: factory of the loss over the vectors of queries and documents: `InfoNCE`, `Matryoshka` or
            `Distillation`.
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
        loss: Callable[[], PairLoss] = InfoNCE,
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

    def on_fit_start(self) -> None:
        """Start a new model.

        Raises:
            ValueError: if texts are embedded in chunks under a strategy that shards parameters.
        """
        super().on_fit_start()
        if self.loss.chunk_texts and not isinstance(self.trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            raise ValueError(
                "chunk_texts needs all parameters whole on every device, which is not known of "
                f"{type(self.trainer.strategy).__name__}: set trainer.strategy to auto or ddp"
            )

    def embed(self, batch: PackedBatch) -> Float[Tensor, "sequences dim"]:
        """One vector a text, float32, not normalised."""
        return self._embedded(batch).vectors

    def _embedded(self, batch: PackedBatch) -> Embedded:
        number = self._num_chunks(batch)
        if number == 1:
            return self._embedded_at_once(batch)
        used = (*self.embedding.parameters(), *self.encoder.parameters())
        trained = list(dict.fromkeys(parameter for parameter in used if parameter.requires_grad))
        return embed_in_chunks(self._embedded_at_once, batch, number, trained)

    def _embedded_at_once(self, batch: PackedBatch) -> Embedded:
        output = self.encode(batch, causal=False)
        return Embedded(mean_pool(output.hidden, batch.layout(causal=False)), output.aux_losses, output.diagnostics)

    def _num_chunks(self, batch: PackedBatch) -> int:
        """The same for all processes in training: an encoder may exchange counts in each forward pass."""
        if self.loss.chunk_texts is None:
            return 1
        counts = [batch.num_sequences]
        if self.training:
            counts = counts_of_all(batch.num_sequences, batch.tokens.device)
        number = -(-max(counts) // self.loss.chunk_texts)
        if number > min(counts):
            raise ValueError(
                f"{min(counts)} texts of a process do not fill the {number} chunks that another one needs: "
                "raise chunk_texts"
            )
        return number

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Loss of one batch of pairs."""
        queries, documents = self._embedded(batch.queries), self._embedded(batch.documents)
        loss, accuracy = self.loss(queries.vectors, documents.vectors, batch)
        self.count_tokens(batch.queries, batch.documents)
        self.report("train", {"loss": loss, "accuracy": accuracy}, batch_size=batch.queries.num_sequences)
        return self.total_loss(loss, queries, documents)

    def _evaluate(self, stage: str, batch: PairBatch) -> None:
        loss, accuracy = self.loss(self.embed(batch.queries), self.embed(batch.documents), batch)
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
