"""Causal language modelling."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts import EncoderOutput, PackedBatch
from zoo.objectives.factories import (
    AdamW,
    DenseEncoder,
    EmbeddingFactory,
    EncoderFactory,
    FullEmbedding,
    HeadFactory,
    OptimizerFactory,
    ScheduleFactory,
    SoftmaxHead,
    WarmupCosine,
)
from zoo.objectives.language_model import LanguageModel, Randomness


class CausalLM(LanguageModel):
    """Predict each token from what stands before it in its sequence: mean of `-log p(token_t | tokens before t)`.

    The first token of a sequence is not predicted, so a sequence of n tokens has n - 1 targets.

    Args:
        width: D, the same on both sides of the vocabulary.
        embedding: factory of the token embedding.
        encoder: factory of the encoder; it sees the left side only.
        head: factory of the output head.
        optimizer: factory of the optimizer, given parameter groups by role.
        schedule: factory of the learning-rate schedule, given the optimizer and the number of steps.

    References:
        Bengio et al., A Neural Probabilistic Language Model, JMLR 3 (2003).
    """

    def __init__(
        self,
        width: int = 256,
        embedding: EmbeddingFactory = FullEmbedding,
        encoder: EncoderFactory = DenseEncoder,
        head: HeadFactory = SoftmaxHead,
        optimizer: OptimizerFactory = AdamW,
        schedule: ScheduleFactory = WarmupCosine,
    ) -> None:
        super().__init__(width, embedding, encoder, head, optimizer, schedule)

    def predict_tokens(self, batch: PackedBatch, generator: Randomness) -> tuple[EncoderOutput, Tensor, Tensor]:
        """Positions of all but the last token of each sequence, and the token after each."""
        output = self.encode(batch, causal=True)
        predicts = torch.ones(len(batch.tokens), dtype=torch.bool, device=batch.tokens.device)
        predicts[batch.cu_seqlens[1:].long() - 1] = False
        positions = predicts.nonzero().squeeze(1)
        return output, positions, batch.tokens[positions + 1]
