"""What flows between the axes: vocabularies, packed batches, and what an objective asks of its data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


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
        continues: whether sequence i goes on where sequence i of the batch before ended; an encoder with a memory
            keeps it then, others need not care.
    """

    cu_seqlens: Int[Tensor, " offsets"]
    max_seqlen: int
    causal: bool = False
    continues: bool = False

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
        continues: whether sequence i goes on where sequence i of the batch before ended.
    """

    tokens: Int[Tensor, " tokens"]
    cu_seqlens: Int[Tensor, " offsets"]
    max_seqlen: int
    continues: bool = False

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
        return Layout(self.cu_seqlens, self.max_seqlen, causal, self.continues)

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
