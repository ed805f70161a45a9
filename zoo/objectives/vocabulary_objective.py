"""What objectives with an output head over the vocabulary share."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from zoo.contracts import OutputHead, PackedBatch, TextView, Vocabulary
from zoo.objectives.factories import (
    EmbeddingFactory,
    EncoderFactory,
    HeadFactory,
    OptimizerFactory,
    OutputMatrix,
    ScheduleFactory,
)
from zoo.objectives.objective import Objective


class VocabularyObjective(Objective):
    """An objective on running text that ends in an output head; a subclass says what is predicted."""

    head: OutputHead

    def __init__(
        self,
        width: int,
        embedding: EmbeddingFactory,
        encoder: EncoderFactory,
        head: HeadFactory,
        optimizer: OptimizerFactory,
        schedule: ScheduleFactory,
        init_from: str | None = None,
    ) -> None:
        super().__init__(width, embedding, encoder, optimizer, schedule, init_from)
        self._make_head = head

    @property
    def view(self) -> TextView:
        """Running text."""
        return TextView()

    def build_output(self, vocabulary: Vocabulary) -> None:
        """The head over the embedding's own table, or over one of its own where the embedding shares none."""
        table = self.embedding.output_table()
        self.head = self._make_head(
            OutputMatrix(vocabulary.size, self.width, self.embedding.init_std) if table is None else table
        )
        self.head.use_embedding(self.embedding)

    @abstractmethod
    def training_step(self, batch: PackedBatch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
