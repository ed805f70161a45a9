"""What is fine-tuned: the network behind a model, as a body that turns rows of one or two texts into vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from bench.protocols import Model, NotApplicableError

if TYPE_CHECKING:
    from collections.abc import Sized

Batch = Mapping[str, Any]


class Features(NamedTuple):
    """What a network gives for a batch.

    Args:
        vectors: one vector a row, (rows, dim).
        aux_loss: the body's own losses, a scalar that is added to the loss of the task; None where it has none.
    """

    vectors: Tensor
    aux_loss: Tensor | None = None


class Body(Protocol):
    """The network of a model, its tokenizer and its way to one vector a row."""

    pooling: str
    dim: int

    def tokenize(self, texts: Sequence[tuple[str, ...]], max_length: int) -> Sequence[Sized]:
        """Rows as token ids, cut to `max_length` tokens from the longer text; the length of each is its tokens."""

    def collate(self, rows: Sequence[Any]) -> Batch:
        """Tokenised rows as the keyword arguments of `network()`, on the CPU."""

    def network(self) -> nn.Module:
        """A trainable copy, `network(**batch) -> Features`; the model itself never changes."""


def check(model: Model) -> None:
    """Refuse a model that has no network which can be fine-tuned.

    Raises:
        NotApplicableError: if it is such a model.
    """
    network = getattr(model, "network", None)
    is_transformer = network is not None and getattr(network[0], "auto_model", None) is not None
    if getattr(model, "objective", None) is None and not is_transformer:
        raise NotApplicableError("GLUE fine-tunes a network over tokens, which this model has not")


def open_body(model: Model) -> Body:
    """The body of an opened model, apart from it: what trains the body never changes the model.

    Raises:
        NotApplicableError: if it has no network that can be fine-tuned.
        ValueError: if its files are not those any more that it was opened from.
    """
    check(model)
    objective = getattr(model, "objective", None)
    if objective is not None:
        from bench.glue.zoo_body import ZooBody

        return ZooBody(objective)
    from bench.glue.transformer_body import TransformerBody

    opened: Any = model
    return TransformerBody.of(opened)


class Classifier(nn.Module):
    """A body with a linear head: `logits = W dropout(vector) + b`.

    Args:
        network: gives `Features`.
        dim: of their vectors.
        num_labels: classes, 1 for a regression.
        dropout: before the head, in training.
    """

    def __init__(self, network: nn.Module, dim: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.network = network
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(dim, num_labels)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, **batch: Any) -> Features:
        """Logits (rows, num_labels) in float32, and the body's own losses."""
        features = self.network(**batch)
        return Features(self.head(self.dropout(features.vectors)).float(), features.aux_loss)


def masked_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens of each row of a padded batch, in float32 at least: (rows, tokens, dim) to (rows, dim)."""
    exact = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    weights = mask[..., None].to(exact.dtype)
    return (exact * weights).sum(1) / weights.sum(1)
