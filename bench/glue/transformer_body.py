"""The transformer of a sentence-transformers model as the body of a classifier."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from bench.glue.bodies import Batch, Features, masked_mean
from bench.models.model_parts import parts_of

if TYPE_CHECKING:
    from bench.models.sentence_transformer import SentenceTransformerModel


class TransformerBody:
    """The first module of a sentence-transformers model: a transformer of Hugging Face with its tokenizer.

    A row is encoded as its tokenizer encodes pairs, token types included. Its vector is the architecture's own pooler
    over `[CLS]` where it has one, as in `AutoModelForSequenceClassification`, else the mean over the tokens. What
    stands behind the transformer (pooling, normalisation, projections, prompts) is not used.

    Args:
        transformer: the module.
    """

    def __init__(self, transformer: Any) -> None:
        self._model = transformer.auto_model
        self._tokenizer = transformer.tokenizer
        self._max_length = transformer.max_seq_length
        self.dim = int(self._model.config.hidden_size)
        self.pooling = "pooler" if getattr(self._model, "pooler", None) is not None else "mean"

    @classmethod
    def of(cls, model: SentenceTransformerModel) -> TransformerBody:
        """The body of an opened model, loaded anew: what encodes may have been changed so that it cannot be trained.

        Raises:
            ValueError: if other weights are loaded than were opened.
        """
        network = model.fresh_network()
        if parts_of(network, model.describe().dtype)["weights"] != model.describe().parts["weights"]:
            raise ValueError(f"the weights of {model.describe().name} changed since it was opened; run again")
        return cls(network[0])

    def tokenize(self, texts: Sequence[tuple[str, ...]], max_length: int) -> list[Encoded]:
        """Token ids and token types, cut to `max_length` or the model's own limit."""
        limit = min(max_length, self._max_length or max_length)
        sides = [list(side) for side in zip(*texts, strict=True)]
        columns = self._tokenizer(*sides, truncation=True, max_length=limit, return_attention_mask=False)
        rows = zip(*columns.values(), strict=True)
        return [Encoded(dict(zip(columns, row, strict=True))) for row in rows]

    def collate(self, rows: Sequence[Encoded]) -> Batch:
        """Padded to the longest row."""
        inputs = [row.inputs for row in rows]
        return dict(self._tokenizer.pad(inputs, return_tensors="pt", return_attention_mask=True))

    def network(self) -> nn.Module:
        """A copy of the transformer."""
        return _Pooled(copy.deepcopy(self._model).requires_grad_(), self.pooling)


@dataclass(frozen=True)
class Encoded:
    """One tokenised row: the lists that its tokenizer gave, by name."""

    inputs: Mapping[str, Sequence[int]]

    def __len__(self) -> int:
        return len(self.inputs["input_ids"])


class _Pooled(nn.Module):
    def __init__(self, model: nn.Module, pooling: str) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling

    def forward(self, attention_mask: Tensor, **inputs: Tensor) -> Features:
        output = self.model(attention_mask=attention_mask, **inputs)
        if self.pooling == "pooler":
            return Features(output.pooler_output)
        return Features(masked_mean(output.last_hidden_state, attention_mask))
