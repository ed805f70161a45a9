"""Contrastive steps: packed against padded, and GradCache against the whole batch at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch.optim import AdamW

from bench.speed.fresh import environment, in_fresh_process
from bench.speed.ratio import Timing, time_in_turn
from bench.speed.text import numbered_words
from zoo.contracts import PackedBatch, PairBatch, PairView
from zoo.data import PydocCorpus
from zoo.encoders.dense_encoder import DenseEncoder
from zoo.objectives.contrastive import Contrastive
from zoo.objectives.info_nce import InfoNCE
from zoo.optim.fused import prefer_fused
from zoo.optim.groups import by_role
from zoo.peak_memory import forget_peak, peak_bytes

# what queries and documents are cut off or padded to in the recipe of Nomic Embed
QUERY, DOCUMENT = 32, 256
PACKED, PADDED = "packed", f"padded to {QUERY} and {DOCUMENT}"
AT_ONCE, IN_CHUNKS = "at once", "in chunks"


@dataclass(frozen=True)
class Setting:
    """Sizes of a model.

    Args:
        width: D.
        layers: blocks.
        heads: attention heads a block.
        vocabulary: V.
    """

    width: int = 256
    layers: int = 4
    heads: int = 4
    vocabulary: int = 8192


def measure_packed(
    precision: str, pairs: int = 64, rounds: int = 5, setting: Setting | None = None
) -> dict[str, Timing]:
    """Time training steps on pairs of the standard library's documentation, of real lengths and padded.

    Padded texts are as long as the longest may be, and are not even masked: a mask would cost more.

    Args:
        precision: `32-true` or `bf16-mixed`.
        pairs: of a batch.
        rounds: counted rounds.
        setting: sizes.
    """
    setting = setting or Setting()
    lengths = _lengths(pairs)
    full = ([QUERY] * pairs, [DOCUMENT] * pairs)
    step = _stepper(setting, precision)
    batches = {PACKED: _batch(*lengths, setting), PADDED: _batch(*full, setting)}
    return time_in_turn({name: partial(step, batch) for name, batch in batches.items()}, rounds)


def measure_chunks(
    precision: str, pairs: int = 512, chunk: int = 64, rounds: int = 3, setting: Setting | None = None
) -> dict[str, Timing]:
    """Time a step over a batch that fits at once, and in chunks.

    Args:
        precision: `32-true` or `bf16-mixed`.
        pairs: of the batch.
        chunk: texts of a chunk.
        rounds: counted rounds.
        setting: sizes.
    """
    setting = setting or Setting()
    batch = _batch(*_lengths(pairs), setting)
    steps = {AT_ONCE: _stepper(setting, precision), IN_CHUNKS: _stepper(setting, precision, chunk)}
    return time_in_turn({name: partial(step, batch) for name, step in steps.items()}, rounds)


def measure_memory(large: int = 16_384, small: int = 256, setting: Setting | None = None) -> tuple[int, int, int]:
    """Bytes that a step adds: with a small batch, with a large one in chunks of that size; and those of its vectors.

    The small batch is the chunk of the large one that has the most tokens. The vectors are counted with their
    gradients.

    Args:
        large: pairs of the large batch.
        small: pairs of the small one.
        setting: sizes.

    Raises:
        OSError: where the system does not tell the peak of a part of a process, which is everywhere but on Linux.
    """
    setting = setting or Setting()
    queries, documents = _lengths(large)
    tokens = [
        sum(queries[start : start + small] + documents[start : start + small]) for start in range(0, large, small)
    ]
    start = tokens.index(max(tokens)) * small
    longest = slice(start, start + small)
    # blocks that are freed go back to the system: chunks of many sizes leave holes in glibc's heap, by chance
    with environment({"MALLOC_MMAP_THRESHOLD_": "65536"}):
        alone = in_fresh_process(1, _added_peak, queries[longest], documents[longest], None, setting)
        in_chunks = in_fresh_process(1, _added_peak, queries, documents, small, setting)
    texts = 2 * large
    return alone, in_chunks, 2 * texts * setting.width * torch.float32.itemsize


def _added_peak(queries: list[int], documents: list[int], chunk: int | None, setting: Setting) -> int:
    step = _stepper(setting, "32-true", chunk)
    batch = _batch(queries, documents, setting)
    step(_batch(queries[:8], documents[:8], setting))  # the optimizer's state, and what libraries keep
    forget_peak()
    before = peak_bytes()
    step(batch)
    return peak_bytes() - before


def _lengths(pairs: int) -> tuple[list[int], list[int]]:
    """Tokens of queries and documents of the embedded corpus, in training order, from the start again at its end."""
    data = PydocCorpus(["stdlib"], batch_pairs=64, max_length=DOCUMENT)
    data.setup_for(PairView())
    queries: list[int] = []
    documents: list[int] = []
    while len(queries) < pairs:
        for batch in data.train_dataloader():
            assert isinstance(batch, PairBatch)
            queries += [min(length, QUERY) for length in batch.queries.cu_seqlens.diff().tolist()]
            documents += batch.documents.cu_seqlens.diff().tolist()
    return queries[:pairs], documents[:pairs]


def _batch(queries: list[int], documents: list[int], setting: Setting) -> PairBatch:
    generator = torch.Generator().manual_seed(0)

    def packed(lengths: list[int]) -> PackedBatch:
        texts = [torch.randint(5, setting.vocabulary, (length,), generator=generator) for length in lengths]
        return PackedBatch.from_sequences(texts)

    return PairBatch(packed(queries), packed(documents))


def _stepper(setting: Setting, precision: str, chunk: int | None = None) -> Callable[[PairBatch], None]:
    """Forward, backward and optimizer step of a bi-encoder."""
    torch.manual_seed(0)
    encoder = partial(DenseEncoder, num_layers=setting.layers, num_heads=setting.heads)
    loss = partial(InfoNCE, chunk_texts=chunk)
    model = Contrastive(setting.width, encoder=encoder, loss=loss)
    model.build(numbered_words(setting.vocabulary), DOCUMENT)
    optimizer = AdamW(by_role(model), lr=1e-4)
    prefer_fused(optimizer)

    def step(batch: PairBatch) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            value, _ = model.loss(model.embed(batch.queries), model.embed(batch.documents), batch)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
