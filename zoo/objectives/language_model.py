"""What masked and causal language models share: a head over the vocabulary and losses of single tokens."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.contracts import (
    EncoderOutput,
    OutputHead,
    PackedBatch,
    TextView,
    TokenLosses,
    Vocabulary,
)
from zoo.objectives.factories import (
    EmbeddingFactory,
    EncoderFactory,
    HeadFactory,
    OptimizerFactory,
    OutputMatrix,
    ScheduleFactory,
)
from zoo.objectives.objective import Objective

# How often a token occurs in the training texts: the classes that losses are told apart by.
FREQUENCIES = {"frequent": (1000, math.inf), "medium": (50, 1000), "rare": (0, 50)}

Randomness = torch.Generator | Sequence[torch.Generator] | None


class LanguageModel(Objective):
    """An objective that predicts tokens; a subclass says which ones from what."""

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
        self._sums = _no_sums()

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
    def predict_tokens(self, batch: PackedBatch, generator: Randomness) -> tuple[EncoderOutput, Tensor, Tensor]:
        """Encoder output, the N positions whose hidden vectors predict, and the N target ids.

        Args:
            batch: the text.
            generator: source of randomness on the CPU, or one a sequence; None is the global one.
        """

    def training_step(self, batch: PackedBatch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        output, positions, targets = self.predict_tokens(batch, None)
        result = self.head.loss(output.hidden[positions], targets)
        self.count_tokens(batch)
        self.report("train", {"loss": result.loss, **result.diagnostics}, batch_size=len(targets))
        return self.total_loss(result.loss, output)

    def token_losses(self, batch: PackedBatch, seed: int | Sequence[int]) -> TokenLosses:
        """Losses of the predicted tokens of a batch, for whole-split sums.

        Args:
            batch: the text.
            seed: fixes what is masked; one a sequence makes that independent of what else is in the batch.
        """
        if isinstance(seed, int):
            generator: Randomness = torch.Generator().manual_seed(seed)
        else:
            generator = [torch.Generator().manual_seed(one) for one in seed]
        with torch.no_grad():
            output, positions, targets = self.predict_tokens(batch, generator)
            sequences = torch.searchsorted(batch.cu_seqlens.to(positions.dtype), positions, right=True) - 1
            return TokenLosses(-self.head.log_probs(output.hidden[positions], targets), targets, sequences)

    def _evaluate(self, stage: str, batch: PackedBatch, batch_idx: int) -> None:
        losses = self.token_losses(batch, seed=batch_idx)
        self.report(stage, {"loss": losses.nll.mean()}, batch_size=len(losses.nll))
        if self.token_counts is not None:
            counts = self.token_counts.to(losses.targets.device)[losses.targets]
            for row, (low, high) in enumerate(FREQUENCIES.values()):
                inside = (counts >= low) & (counts < high)
                self._sums[row][0] += float(losses.nll[inside].sum())
                self._sums[row][1] += int(inside.sum())

    def _report_by_frequency(self, stage: str) -> None:
        """Mean losses of the classes of tokens that occurred, over all processes."""
        sums = torch.tensor(self._sums, device=self.device)
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(sums)
        for name, (total, number) in zip(FREQUENCIES, sums.tolist(), strict=True):
            if number:
                self.log(f"{stage}/loss_{name}", total / number, sync_dist=True)
        self._sums = _no_sums()

    def on_validation_epoch_end(self) -> None:
        """Log the losses of frequent, medium and rare tokens."""
        self._report_by_frequency("val")

    def on_test_epoch_end(self) -> None:
        """Log the losses of frequent, medium and rare tokens."""
        self._report_by_frequency("test")

    def validation_step(self, batch: PackedBatch, batch_idx: int) -> None:
        """Mean loss a predicted token, and of frequent, medium and rare ones; the same are masked every time."""
        self._evaluate("val", batch, batch_idx)

    def test_step(self, batch: PackedBatch, batch_idx: int) -> None:
        """Mean loss a predicted token on the test split."""
        self._evaluate("test", batch, batch_idx)

    def predict_step(self, batch: PackedBatch, batch_idx: int) -> TokenLosses:
        """Losses of the single tokens of a batch."""
        return self.token_losses(batch, seed=batch_idx)


def _no_sums() -> list[list[float]]:
    """Summed loss and number of tokens of each class in a running evaluation, before it begins."""
    return [[0.0, 0.0] for _ in FREQUENCIES]
