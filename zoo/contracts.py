"""The contracts between the axes: what a batch is, and what each swappable part promises.

Variants of one axis know this module and nothing of each other, so that any two of them combine.

Names used in shapes: `tokens` T, `sequences` B, `dim` D, `vocab` V, `rows` N.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class Vocabulary:
    """Size of a vocabulary and the ids of its special tokens.

    A document is `[CLS] tokens [SEP]` for every objective: for a causal model `[CLS]` opens a text and `[SEP]` ends it.
    `fingerprint` is a hash of the tokenizer.
    """

    size: int
    pad_id: int
    unk_id: int
    cls_id: int
    sep_id: int
    mask_id: int
    fingerprint: str = ""

    @staticmethod
    def fingerprint_of(tokenizer: str) -> str:
        """What two vocabularies have in common if their tokenizers are the same.

        Args:
            tokenizer: as JSON.
        """
        return hashlib.sha256(tokenizer.encode()).hexdigest()

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Ids that are never masked and carry no text."""
        return (self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id)


@dataclass(frozen=True)
class Layout:
    """Where the sequences of a packed batch begin and end, and who may see whom.

    Args:
        cu_seqlens: offsets of the sequences in the flat batch, int32, `cu_seqlens[0] = 0`, `cu_seqlens[-1] = T`.
        max_seqlen: length of the longest sequence, in tokens.
        causal: if true a token sees itself and what stands before it in its own sequence, else its whole sequence.
    """

    cu_seqlens: Int[Tensor, " offsets"]
    max_seqlen: int
    causal: bool = False

    @property
    def lengths(self) -> Int[Tensor, " sequences"]:
        """Length of each sequence, in tokens."""
        return self.cu_seqlens.diff()


@dataclass(frozen=True)
class PackedBatch:
    """Texts of different lengths laid end to end; no pad token exists anywhere.

    Args:
        tokens: token ids, int64.
        cu_seqlens: offsets of the sequences, int32, B + 1 of them.
        max_seqlen: length of the longest sequence, in tokens.
    """

    tokens: Int[Tensor, " tokens"]
    cu_seqlens: Int[Tensor, " offsets"]
    max_seqlen: int

    @classmethod
    def from_sequences(cls, sequences: Sequence[Sequence[int]] | Sequence[Tensor]) -> PackedBatch:
        """Lay `sequences` of token ids end to end.

        Raises:
            ValueError: if there is no sequence, or an empty one.
        """
        if not sequences:
            raise ValueError("a batch needs at least one sequence")
        parts = [torch.as_tensor(s, dtype=torch.int64) for s in sequences]
        lengths = torch.tensor([len(p) for p in parts])
        if int(lengths.min()) == 0:
            raise ValueError(f"sequence {int(lengths.argmin())} of the batch is empty: drop texts without tokens first")
        offsets = torch.zeros(len(parts) + 1, dtype=torch.int32)
        offsets[1:] = lengths.cumsum(0)
        return cls(torch.cat(parts), offsets, int(lengths.max()))

    @property
    def num_sequences(self) -> int:
        """Number of sequences B."""
        return len(self.cu_seqlens) - 1

    def layout(self, *, causal: bool) -> Layout:
        """The layout that an encoder needs."""
        return Layout(self.cu_seqlens, self.max_seqlen, causal)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PackedBatch:
        """The same batch on `device` (Lightning moves batches through this method)."""
        tokens = self.tokens.to(device, non_blocking=non_blocking)
        return replace(self, tokens=tokens, cu_seqlens=self.cu_seqlens.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> PackedBatch:
        """The same batch in page-locked memory (the data loader calls this where `pin_memory` is set)."""
        return replace(self, tokens=self.tokens.pin_memory(), cu_seqlens=self.cu_seqlens.pin_memory())


@dataclass(frozen=True)
class PairBatch:
    """Queries and their documents: sequence i of `queries` belongs to sequence i of `documents`."""

    queries: PackedBatch
    documents: PackedBatch

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PairBatch:
        """The same batch on `device`."""
        return PairBatch(self.queries.to(device, non_blocking), self.documents.to(device, non_blocking))

    def pin_memory(self) -> PairBatch:
        """The same batch in page-locked memory."""
        return PairBatch(self.queries.pin_memory(), self.documents.pin_memory())


@dataclass(frozen=True)
class TextView:
    """An objective that asks its data module for this gets `PackedBatch`es of running text."""


@dataclass(frozen=True)
class PairView:
    """An objective that asks its data module for this gets `PairBatch`es.

    Args:
        query_prefix: put before every query text before it is tokenised, trailing space included.
        document_prefix: the same for documents.
    """

    query_prefix: str = ""
    document_prefix: str = ""


DataView = TextView | PairView


class OutputTable(nn.Module, ABC):
    """The output side of a vocabulary: one vector a token, as a module, because sharding replaces bare tensors."""

    parameter_role: ClassVar[str] = "vocabulary"
    num_rows: int
    width: int

    @property
    def table_rows(self) -> tuple[int, ...]:
        """Rows of the tables that each of its own parameters holds one after the other; more rows are padding."""
        return (self.num_rows,)

    @property
    def keeps_zero_sum(self) -> bool:
        """Whether a gradient that sums to 0 over all tokens also does so over the rows of each parameter's tables."""
        return True

    @abstractmethod
    def weight(self) -> Float[Tensor, "vocab dim"]:
        """The whole table, differentiable."""

    @abstractmethod
    def rows(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        """The vectors of `ids`, without the rest of the table."""

    @abstractmethod
    def cross_entropy(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over rows of `-log softmax(W h + b)_target` in nats, for training; never obliged to build (N, V) scores.

        Raises:
            ValueError: if there is no row.
        """

    @abstractmethod
    def log_probs(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """`log softmax(W h + b)_target` of each row in nats, at least float32."""

    @abstractmethod
    def topk(
        self, hidden: Float[Tensor, "rows dim"], k: int, bias: Float[Tensor, " vocab"] | None = None
    ) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""


class TokenEmbedding(nn.Module, ABC):
    """Token ids to vectors. Built by an objective as `factory(vocab_size, width)`."""

    parameter_role: ClassVar[str] = "vocabulary"
    vocabulary_side: ClassVar[str] = "input"
    num_rows: int
    width: int

    @property
    def table_rows(self) -> tuple[int, ...]:
        """Rows of the tables that each of its own parameters holds one after the other; more rows are padding."""
        return (self.num_rows,)

    @abstractmethod
    def forward(self, tokens: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens dim"]:
        """The vectors of `tokens`."""

    @abstractmethod
    def output_table(self) -> OutputTable | None:
        """The module that a tied head multiplies with, or None where the head must own a table."""

    def use_vocabulary(self, vocabulary: Vocabulary, counts: Int[Tensor, " vocab"]) -> None:
        """Told once, before training begins: size, special ids, and how often each token occurs in the texts."""

    @property
    def num_parameters(self) -> int:
        """Trainable numbers held by this embedding."""
        return sum(p.numel() for p in self.parameters())

    @property
    def num_bytes(self) -> int:
        """Bytes of parameters and buffers."""
        return sum(t.numel() * t.element_size() for t in [*self.parameters(), *self.buffers()])

    @property
    def facts(self) -> dict[str, int]:
        """Sizes that a run shows and records, by name."""
        return {"parameters": self.num_parameters, "bytes": self.num_bytes}


@dataclass(frozen=True)
class EncoderOutput:
    """What an encoder returns.

    Args:
        hidden: one vector a token.
        aux_losses: scalars by name that the objective adds to its loss as they are (already weighted).
        diagnostics: scalars by name that are only logged.
    """

    hidden: Float[Tensor, "tokens dim"]
    aux_losses: Mapping[str, Tensor] = field(default_factory=dict)
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)


class Encoder(nn.Module, ABC):
    """The body: mixes the vectors of each sequence. Built by an objective as `factory(width)`."""

    width: int

    @abstractmethod
    def forward(self, x: Float[Tensor, "tokens dim"], layout: Layout) -> EncoderOutput:
        """Hidden vectors of a packed batch."""


@dataclass(frozen=True)
class HeadLoss:
    """Loss of an output head.

    Args:
        loss: what is minimised, mean over the rows, in nats where the head is a probability.
        nll: mean negative log-likelihood of the targets in nats, without regularisers, detached.
        diagnostics: scalars by name that are only logged.
    """

    loss: Float[Tensor, ""]
    nll: Float[Tensor, ""]
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)


class OutputHead(nn.Module, ABC):
    """Hidden vectors to a loss over the vocabulary. Built by an objective as `factory(output_table)`.

    Attributes:
        table: the output table.
        zero_sum: whether the gradient of the loss with respect to the table sums to 0 over its rows, as that of a
            softmax does, so that gradient descent leaves their mean where it is.
    """

    vocabulary_side: ClassVar[str] = "output"
    zero_sum: bool
    table: OutputTable

    def use_embedding(self, embedding: TokenEmbedding) -> None:
        """Told once, when the model is built: the input side, for heads that need more than the table."""

    @abstractmethod
    def loss(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> HeadLoss:
        """Training loss; never obliged to build the (N, V) scores."""

    @abstractmethod
    def log_probs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """Log-probability of each target in nats, float32, for evaluation."""

    @abstractmethod
    def topk(self, hidden: Float[Tensor, "rows dim"], k: int) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""


@dataclass(frozen=True)
class TokenLosses:
    """Losses of single tokens, for whole-split sums.

    Args:
        nll: negative log-likelihood of each scored token in nats, float32.
        targets: its id.
        sequences: number of the sequence of the batch that it stands in.
    """

    nll: Float[Tensor, " rows"]
    targets: Int[Tensor, " rows"]
    sequences: Int[Tensor, " rows"]

    def to(self, device: torch.device | str) -> TokenLosses:
        """The same losses on `device` (Lightning moves predictions through this method)."""
        return TokenLosses(self.nll.to(device), self.targets.to(device), self.sequences.to(device))


JsonDict = dict[str, Any]
