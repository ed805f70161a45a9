"""What masked and causal language models share: losses of single tokens."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.contracts import EncoderOutput, PackedBatch, TokenLosses
from zoo.objectives.factories import EmbeddingFactory, EncoderFactory, HeadFactory, OptimizerFactory, ScheduleFactory
from zoo.objectives.vocabulary_objective import VocabularyObjective

# How often a token occurs in the training texts: the classes that losses are told apart by.
FREQUENCIES = {"frequent": (1000, math.inf), "medium": (50, 1000), "rare": (0, 50)}

Randomness = torch.Generator | Sequence[torch.Generator] | None


class LanguageModel(VocabularyObjective):
    """An objective that predicts tokens; a subclass says which ones from what."""

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
        super().__init__(width, embedding, encoder, head, optimizer, schedule, init_from)
        self._sums = _no_sums()

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

    def token_losses(self, batch: PackedBatch, seed: int | Sequence[int], *, with_ranks: bool = False) -> TokenLosses:
        """Losses of the predicted tokens of a batch, for whole-split sums.

        Args:
            batch: the text.
            seed: fixes what is masked; one a sequence makes that independent of what else is in the batch.
            with_ranks: also rank the targets, which takes one or two more passes over all scores.
        """
        if isinstance(seed, int):
            generator: Randomness = torch.Generator().manual_seed(seed)
        else:
            generator = [torch.Generator().manual_seed(one) for one in seed]
        with torch.no_grad():
            output, positions, targets = self.predict_tokens(batch, generator)
            sequences = torch.searchsorted(batch.cu_seqlens.to(positions.dtype), positions, right=True) - 1
            hidden = output.hidden[positions]
            ranks = self.head.ranks(hidden, targets) if with_ranks else None
            return TokenLosses(-self.head.log_probs(hidden, targets), targets, sequences, ranks)

    def _evaluate(self, stage: str, losses: TokenLosses) -> None:
        if len(losses.nll) == 0:
            return
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
        """Mean loss a predicted token, and of frequent, medium and rare ones; the same are masked every time.

        A head that needs calibration gets it on every other prediction of the first batch, which are then not scored.
        """
        if batch_idx == 0 and self.head.needs_calibration:
            output, positions, targets = self.predict_tokens(batch, torch.Generator().manual_seed(0))
            self.head.calibrate(output.hidden[positions[::2]], targets[::2])
            kept = self.token_losses(batch, seed=0)
            self._evaluate("val", TokenLosses(kept.nll[1::2], kept.targets[1::2], kept.sequences[1::2]))
        else:
            self._evaluate("val", self.token_losses(batch, seed=batch_idx))

    def test_step(self, batch: PackedBatch, batch_idx: int) -> None:
        """Mean loss a predicted token on the test split."""
        self._evaluate("test", self.token_losses(batch, seed=batch_idx))

    def predict_step(self, batch: PackedBatch, batch_idx: int) -> TokenLosses:
        """Losses of the single tokens of a batch."""
        return self.token_losses(batch, seed=batch_idx)


def _no_sums() -> list[list[float]]:
    """Summed loss and number of tokens of each class in a running evaluation, before it begins."""
    return [[0.0, 0.0] for _ in FREQUENCIES]
