"""Real tokens per second of a masked-language-model training step against `transformers`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import AdamW

from bench.speed.peers import bert_config, fast_tokenizer, modernbert_config
from bench.speed.ratio import Timing, time_in_turn
from bench.speed.text import Shape, docstrings, tokenizer_for
from zoo.contracts import PackedBatch
from zoo.encoders.dense_encoder import DenseEncoder
from zoo.layers.feed_forward import GeGLU
from zoo.objectives.masked_lm import MaskedLM
from zoo.optim.groups import by_role

OURS = "zoo MaskedLM"


@dataclass(frozen=True)
class Result:
    """Real tokens of a round, and the seconds of each model."""

    tokens: int
    timings: dict[str, Timing]


def measure(
    precision: str, rounds: int = 5, steps: int = 4, texts_per_batch: int = 64, shape: Shape | None = None
) -> Result:
    """Time the same batches of texts through each model: forward, backward, clipping and AdamW.

    Ours gets a batch packed; the others get it padded to its longest text by their own masking collator, as
    `transformers` does it in its examples.

    Args:
        precision: `32-true` or `bf16-mixed`.
        rounds: counted rounds.
        steps: training steps a round.
        texts_per_batch: texts of a step.
        shape: sizes of the models.
    """
    shape = shape or Shape()
    texts = docstrings(steps * texts_per_batch)
    tokenizer = tokenizer_for(docstrings(4000), shape)
    tokenizer.enable_truncation(shape.max_length)
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
    batches = [ids[start : start + texts_per_batch] for start in range(0, len(ids), texts_per_batch)]
    contestants = {OURS: _ours(batches, tokenizer, precision, shape)} | _peers(batches, tokenizer, precision, shape)
    timings = time_in_turn(contestants, rounds)
    return Result(sum(len(i) for i in ids), timings)


def _context(precision: str) -> Any:
    return torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bf16-mixed" else nullcontext()


def _step(loss: torch.Tensor, model: torch.nn.Module, optimizer: AdamW) -> None:
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def _ours(batches: list[list[list[int]]], tokenizer: Any, precision: str, shape: Shape) -> Callable[[], None]:
    model = MaskedLM(
        shape.width, encoder=lambda width: DenseEncoder(width, shape.layers, shape.heads, feed_forward=GeGLU)
    )
    model.build(tokenizer, shape.max_length)
    optimizer = AdamW(by_role(model), lr=1e-4)

    def run() -> None:
        for batch in batches:
            # packing is part of the work, as padding is for the others
            packed = PackedBatch.from_sequences(sorted(batch, key=len))
            with _context(precision):
                output, positions, targets = model.predict_tokens(packed, None)
                loss = model.head.loss(output.hidden[positions], targets).loss
            _step(loss, model, optimizer)

    return run


def _peers(
    batches: list[list[list[int]]], tokenizer: Any, precision: str, shape: Shape
) -> dict[str, Callable[[], None]]:
    from transformers import BertForMaskedLM, DataCollatorForLanguageModeling, ModernBertForMaskedLM

    collate = DataCollatorForLanguageModeling(fast_tokenizer(tokenizer, shape), mlm_probability=0.3)

    def contestant(model: Any) -> Callable[[], None]:
        model.train()
        optimizer = AdamW(model.parameters(), lr=1e-4)

        def run() -> None:
            for batch in batches:
                padded = collate([{"input_ids": ids} for ids in batch])
                with _context(precision):
                    loss = model(**padded).loss
                _step(loss, model, optimizer)

        return run

    return {
        "transformers ModernBERT": contestant(ModernBertForMaskedLM(modernbert_config(tokenizer, shape))),
        "transformers BERT": contestant(BertForMaskedLM(bert_config(tokenizer, shape))),
    }
