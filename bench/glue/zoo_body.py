"""A model of ours as the body of a classifier."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from bench.glue.bodies import Batch, Features
from zoo.contracts import OutputTable, PackedBatch, SelfUpdating
from zoo.layers.pooling import mean_pool
from zoo.objectives.objective import Objective

_SPECIAL = 2  # what the template of a document adds: one token before it and one behind


class ZooBody:
    """Embedding and encoder of a trained objective over packed rows `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.

    The vector of a row is the mean over its tokens, as in `zoo.encode`; prefixes of texts are not used.

    Args:
        objective: built, with its weights.
    """

    pooling = "mean"

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.dim = objective.width

    def tokenize(self, texts: Sequence[tuple[str, ...]], max_length: int) -> list[list[int]]:
        """Token ids, cut to `max_length` or the model's own limit."""
        vocabulary = self._objective.vocabulary
        limit = min(max_length, self._objective.max_length)
        sides = [self._objective.tokenizer.encode_batch_fast(list(side)) for side in zip(*texts, strict=True)]
        rows = []
        for row in zip(*sides, strict=True):
            parts = cut([encoding.ids[1:-1] for encoding in row], limit - _SPECIAL - (len(row) - 1))
            rows.append([vocabulary.cls_id, *(i for part in parts for i in [*part, vocabulary.sep_id])])
        return rows

    def collate(self, rows: Sequence[list[int]]) -> Batch:
        """Laid end to end, without padding."""
        batch = PackedBatch.from_sequences(rows)
        return {"tokens": batch.tokens, "cu_seqlens": batch.cu_seqlens, "max_seqlen": batch.max_seqlen}

    def network(self) -> nn.Module:
        """A copy of embedding and encoder; a table that steps itself becomes one that an optimizer trains."""
        embedding = copy.deepcopy(self._objective.embedding)
        table = embedding.output_table()
        if isinstance(table, SelfUpdating):
            embedding.use_output_table(cast(OutputTable, table.with_parameters()))
        return _Packed(embedding, copy.deepcopy(self._objective.encoder))


def cut(parts: Sequence[list[int]], room: int) -> list[list[int]]:
    """`parts` without the last tokens of whichever is longest, until they fit into `room` tokens.

    Example:
        >>> cut([[1, 2, 3, 4], [5, 6]], 4)
        [[1, 2], [5, 6]]
    """
    sizes = [len(part) for part in parts]
    while sum(sizes) > room:
        sizes[sizes.index(max(sizes))] -= 1
    return [part[:size] for part, size in zip(parts, sizes, strict=True)]


class _Packed(nn.Module):
    def __init__(self, embedding: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding
        self.encoder = encoder

    def forward(self, tokens: Tensor, cu_seqlens: Tensor, max_seqlen: int) -> Features:
        layout = PackedBatch(tokens, cu_seqlens, max_seqlen).layout(causal=False)
        output = self.encoder(self.embedding(tokens), layout)
        losses = list(output.aux_losses.values())
        return Features(mean_pool(output.hidden, layout), torch.stack(losses).sum() if losses else None)
