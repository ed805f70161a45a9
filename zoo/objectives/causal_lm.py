"""Causal language modelling."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

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
        init_from: trained model whose weights training starts from: run folder, checkpoint or Hugging Face encoder.

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
        init_from: str | None = None,
    ) -> None:
        super().__init__(width, embedding, encoder, head, optimizer, schedule, init_from)

    def predict_tokens(self, batch: PackedBatch, generator: Randomness) -> tuple[EncoderOutput, Tensor, Tensor]:
        """Positions of all but the last token of each sequence, and the token after each.

        The last token of a sequence is a target only: the encoder does not see it, so that one with a memory can go on
        with it in the next batch. The hidden vectors of last tokens are 0.
        """
        predicts = torch.ones(len(batch.tokens), dtype=torch.bool, device=batch.tokens.device)
        predicts[batch.cu_seqlens[1:].long() - 1] = False
        positions = predicts.nonzero().squeeze(1)
        output = self.encode(_inputs(batch, positions), causal=True)
        hidden = output.hidden.new_zeros(len(batch.tokens), self.width).index_copy(0, positions, output.hidden)
        return replace(output, hidden=hidden), positions, batch.tokens[positions + 1]


def _inputs(batch: PackedBatch, positions: Tensor) -> PackedBatch:
    """The batch without the last token of each sequence; a sequence of one token is left out."""
    lengths = batch.cu_seqlens.diff() - 1
    offsets = F.pad(lengths[lengths > 0].cumsum(0, dtype=torch.int32), (1, 0))
    return replace(batch, tokens=batch.tokens[positions], cu_seqlens=offsets, max_seqlen=batch.max_seqlen - 1)
