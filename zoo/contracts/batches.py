"""What flows between the axes: vocabularies, packed batches, and what an objective asks of its data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

_MULTIPLIER = 0x5851F42D4C957F2D  # Knuth's, of MMIX


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

    def split(self, parts: int) -> list[PackedBatch]:
        """`parts` batches of consecutive sequences, equally many up to one.

        Args:
            parts: how many; at least 1 and at most the number of sequences.
        """
        assert 1 <= parts <= self.num_sequences
        offsets = self.cu_seqlens.tolist()
        bounds = [self.num_sequences * part // parts for part in range(parts + 1)]
        found = []
        for first, last in pairwise(bounds):
            lengths = [end - start for start, end in pairwise(offsets[first : last + 1])]
            tokens = self.tokens[offsets[first] : offsets[last]]
            own = self.cu_seqlens[first : last + 1] - offsets[first]
            found.append(PackedBatch(tokens, own, max(lengths), self.continues))
        return found

    def fingerprints(self) -> Int[Tensor, " sequences"]:
        """A number for each sequence, equal for equal sequences, on every device and process: a polynomial mod 2^64."""
        lengths = self.cu_seqlens.diff()
        owners = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
        places = torch.arange(len(self.tokens), device=lengths.device) - self.cu_seqlens[:-1].long()[owners]
        powers = self.tokens.new_full((self.max_seqlen,), _MULTIPLIER).cumprod(0)
        return self.tokens.new_zeros(len(lengths)).index_add(0, owners, (self.tokens + 1) * powers[places])

    def pin_memory(self) -> PackedBatch:
        """The same batch in page-locked memory (the data loader calls this where `pin_memory` is set)."""
        return replace(self, tokens=self.tokens.pin_memory(), cu_seqlens=self.cu_seqlens.pin_memory())


@dataclass(frozen=True)
class PairBatch:
    """Queries and their documents: sequence i of `queries` belongs to sequence i of `documents`.

    Args:
        queries: B of them.
        documents: the B documents, and behind them n >= 0 hard negatives a query: first the n of query 0.
        scores: a teacher's of each query with its document (column 0) and its hard negatives; None without a teacher.

    Raises:
        ValueError: if the documents are no B (1 + n), or the scores do not fit them.
    """

    queries: PackedBatch
    documents: PackedBatch
    scores: Float[Tensor, "pairs candidates"] | None = None

    def __post_init__(self) -> None:
        pairs, documents = self.queries.num_sequences, self.documents.num_sequences
        if documents < pairs or documents % pairs:
            raise ValueError(
                f"{documents} documents for {pairs} queries: give each query its document, and all queries the same "
                "number of hard negatives"
            )
        if self.scores is not None and self.scores.shape != (pairs, documents // pairs):
            raise ValueError(
                f"scores of shape {tuple(self.scores.shape)}: give {pairs} queries {documents // pairs} each, "
                "one for the document and one for each hard negative"
            )

    @property
    def num_negatives(self) -> int:
        """Hard negatives of each query n."""
        return self.documents.num_sequences // self.queries.num_sequences - 1

    def to(self, device: torch.device | str, non_blocking: bool = False) -> PairBatch:
        """The same batch on `device`."""
        scores = None if self.scores is None else self.scores.to(device, non_blocking=non_blocking)
        return PairBatch(self.queries.to(device, non_blocking), self.documents.to(device, non_blocking), scores)

    def pin_memory(self) -> PairBatch:
        """The same batch in page-locked memory."""
        scores = None if self.scores is None else self.scores.pin_memory()
        return PairBatch(self.queries.pin_memory(), self.documents.pin_memory(), scores)


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
        ranks: its place among all tokens, from 1, by how the model scores them; None where that was not asked for.
    """

    nll: Float[Tensor, " rows"]
    targets: Int[Tensor, " rows"]
    sequences: Int[Tensor, " rows"]
    ranks: Int[Tensor, " rows"] | None = None

    def to(self, device: torch.device | str) -> TokenLosses:
        """The same losses on `device` (Lightning moves predictions through this method)."""
        ranks = None if self.ranks is None else self.ranks.to(device)
        return TokenLosses(self.nll.to(device), self.targets.to(device), self.sequences.to(device), ranks)
