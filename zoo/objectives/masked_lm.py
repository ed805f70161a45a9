"""Masked language modelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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


class MaskedLM(LanguageModel):
    """Predict hidden tokens from both sides: mean of `-log p(token | text with M masked)` over the masked set M.

    Of the chosen tokens 80 % become `[MASK]`, 10 % a random token, 10 % stay. Special tokens are never chosen, and
    only chosen positions reach the head.

    Args:
        width: D, the same on both sides of the vocabulary.
        embedding: factory of the token embedding.
        encoder: factory of the encoder; it sees both sides.
        head: factory of the output head.
        optimizer: factory of the optimizer, given parameter groups by role.
        schedule: factory of the learning-rate schedule, given the optimizer and the number of steps.
        mask_fraction: share of the tokens that is predicted, in (0, 1].
        init_from: trained model whose weights training starts from: run folder, checkpoint or Hugging Face encoder.

    Raises:
        ValueError: if `mask_fraction` is out of range.

    References:
        Devlin et al., BERT, arXiv 1810.04805, section 3.1.
        Wettig et al., Should You Mask 15% in Masked Language Modeling?, arXiv 2202.08005, for the default of 30 %.
    """

    def __init__(
        self,
        width: int = 256,
        embedding: EmbeddingFactory = FullEmbedding,
        encoder: EncoderFactory = DenseEncoder,
        head: HeadFactory = SoftmaxHead,
        optimizer: OptimizerFactory = AdamW,
        schedule: ScheduleFactory = WarmupCosine,
        mask_fraction: float = 0.3,
        init_from: str | None = None,
    ) -> None:
        super().__init__(width, embedding, encoder, head, optimizer, schedule, init_from)
        if not 0 < mask_fraction <= 1:
            raise ValueError(f"mask_fraction must lie in (0, 1], not {mask_fraction}")
        self.mask_fraction = mask_fraction

    def predict_tokens(self, batch: PackedBatch, generator: Randomness) -> tuple[EncoderOutput, Tensor, Tensor]:
        """Masked positions and what stood there."""
        if isinstance(generator, Sequence):
            chosen, corrupted = self._mask_each(batch, generator)
        else:
            chosen, corrupted = self.mask(batch.tokens, generator)
        output = self.encode(replace(batch, tokens=corrupted), causal=False)
        return output, chosen, batch.tokens[chosen]

    def _mask_each(self, batch: PackedBatch, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        starts = batch.cu_seqlens.tolist()
        spans = list(zip(starts[:-1], starts[1:], generators, strict=True))
        masked = [self.mask(batch.tokens[start:end], generator) for start, end, generator in spans]
        chosen = [positions + start for (positions, _), start in zip(masked, starts, strict=False)]
        return torch.cat(chosen), torch.cat([tokens for _, tokens in masked])

    def mask(self, tokens: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Positions to predict and the tokens with those positions hidden.

        Exactly `mask_fraction` of the tokens that are not special is chosen (rounded, at least one where there is one),
        so that the cost of a step does not vary.
        """
        special = torch.tensor(self.vocabulary.special_ids, device=tokens.device)
        candidates = torch.isin(tokens, special, invert=True).nonzero().squeeze(1)
        # drawn on the CPU, so that a seed means the same on every device
        order = torch.randperm(len(candidates), generator=generator).to(tokens.device)
        count = max(1, round(self.mask_fraction * len(candidates)))
        chosen = candidates[order[:count]].sort().values
        kind = torch.rand(len(chosen), generator=generator).to(tokens.device)
        random = torch.randint(self.vocabulary.size, (len(chosen),), generator=generator).to(tokens.device)
        hidden = torch.where(kind < 0.8, self.vocabulary.mask_id, torch.where(kind < 0.9, random, tokens[chosen]))
        return chosen, tokens.index_put((chosen,), hidden)
