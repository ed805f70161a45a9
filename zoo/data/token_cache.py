"""Texts tokenised once into memory-mapped shards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tqdm import tqdm

from zoo.data.cache import atomic_path, building, write_json

_SHARD_CHARACTERS = 32_000_000
_PIECE_CHARACTERS = 100_000
_COMPLETE = "cache.json"


@dataclass(frozen=True)
class TokenCache:
    """Token ids of the texts of one split, each `[CLS] tokens [SEP]`, in their order; a text may have no tokens.

    Pickles as its path, so that the workers of a data loader map the same files.

    Args:
        folder: where the shards lie: `shard-00000.tokens.npy` (token ids) and `shard-00000.offsets.npy` (int64, where
            each text begins, and the end).
        shards: number of shards.
        num_bytes: UTF-8 size of all texts.
    """

    folder: Path
    shards: int
    num_bytes: int

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, the two special ones included, so that 2 means a text without tokens."""
        return np.concatenate([np.zeros(0, np.int64), *(np.diff(offsets) for offsets in self._offsets)])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Token ids of text `index`, a view of the mapped file."""
        shard = int(np.searchsorted(self._first, index, side="right")) - 1
        offsets = self._offsets[shard]
        row = index - int(self._first[shard])
        return self._tokens[shard][int(offsets[row]) : int(offsets[row + 1])]

    def counts(self, vocab_size: int) -> NDArray[np.int64]:
        """How often each id occurs in all texts, special ones included: (vocab_size,). Counted once and kept."""
        path = self.folder / "counts.npy"
        if not path.exists():
            with building(self.folder), atomic_path(path) as partial:
                counted = [np.bincount(tokens, minlength=vocab_size) for tokens in self._tokens]
                np.save(partial, np.sum([np.zeros(vocab_size, np.int64), *counted], axis=0))
        counts: NDArray[np.int64] = np.load(path)
        assert len(counts) == vocab_size, "the folder is named by the tokenizer, which decides the size"
        return counts

    def distinct(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """A number for each text of `rows`, the same for texts of the same tokens."""
        hashes = [xxhash.xxh3_64_intdigest(self[row].tobytes()) for row in rows.tolist()]
        return np.unique(np.array(hashes, dtype=np.uint64), return_inverse=True)[1].astype(np.int64)

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "shards": self.shards, "num_bytes": self.num_bytes}

    @cached_property
    def _offsets(self) -> list[NDArray[np.int64]]:
        return [np.load(_shard(self.folder, k, "offsets.npy")) for k in range(self.shards)]

    @cached_property
    def _first(self) -> NDArray[np.int64]:
        """Index of the first text of each shard."""
        counts = [len(offsets) - 1 for offsets in self._offsets]
        return np.cumsum([0, *counts])[: self.shards]

    @cached_property
    def _tokens(self) -> list[NDArray[Any]]:
        # asarray keeps the mapping and drops the slow indexing of np.memmap
        return [np.asarray(np.load(_shard(self.folder, k, "tokens.npy"), mmap_mode="r")) for k in range(self.shards)]


def open_token_cache(folder: Path, texts: Iterable[str], tokenizer: Tokenizer, name: str) -> TokenCache:
    """Open the cache in `folder`, or build what is missing of it.

    A shard is written as a whole or not at all, so that a build which was killed goes on after the last one. A shard
    whose size is not what was written is built again. Of several processes one builds and the others wait.

    Args:
        folder: must be named by a hash of the texts and the tokenizer: neither is compared with what lies there.
        texts: the texts, in the same order at every call.
        tokenizer: encodes a document as `[CLS] tokens [SEP]`.
        name: what the progress bar calls the texts.
    """
    cache = _complete(folder)
    if cache is None:
        with building(folder):
            cache = _complete(folder) or _build(folder, texts, tokenizer, name)
    return cache


def _complete(folder: Path) -> TokenCache | None:
    try:
        facts = json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if all(_intact(folder, k) for k in range(facts["shards"])):
        return TokenCache(folder, facts["shards"], facts["num_bytes"])
    return None


def _shard(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"shard-{number:05d}.{suffix}"


def _intact(folder: Path, number: int) -> dict[str, Any] | None:
    """Facts of a shard, or None where it is missing, truncated or incomplete."""
    try:
        facts: dict[str, Any] = json.loads(_shard(folder, number, "json").read_text(encoding="utf-8"))
        sizes = [_shard(folder, number, suffix).stat().st_size for suffix in ("tokens.npy", "offsets.npy")]
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return facts if sizes == facts["sizes"] else None


def _build(folder: Path, texts: Iterable[str], tokenizer: Tokenizer, name: str) -> TokenCache:
    remaining = iter(texts)
    number = num_bytes = 0
    with tqdm(desc=f"tokenizing {name}", unit=" texts", unit_scale=True, disable=None) as progress:
        while True:
            facts = _intact(folder, number)
            if facts is None:
                shard_texts = list(_take(remaining))
                if not shard_texts:
                    break
                facts = _write_shard(folder, number, shard_texts, tokenizer)
            else:
                for _ in islice(remaining, facts["texts"]):
                    pass
            progress.update(facts["texts"])
            num_bytes += facts["bytes"]
            number += 1
    write_json(folder / _COMPLETE, {"shards": number, "num_bytes": num_bytes})
    return TokenCache(folder, number, num_bytes)


def _take(texts: Iterator[str]) -> Iterator[str]:
    """Texts of one shard."""
    characters = 0
    for text in texts:
        yield text
        characters += len(text)
        if characters >= _SHARD_CHARACTERS:
            return


def _write_shard(folder: Path, number: int, texts: list[str], tokenizer: Tokenizer) -> dict[str, Any]:
    wide = max(tokenizer.get_vocab(with_added_tokens=True).values()) >= 2**16
    arrays = _encode(texts, tokenizer, np.dtype(np.uint32 if wide else np.uint16))
    offsets = np.cumsum([0, *(len(array) for array in arrays)], dtype=np.int64)
    paths = [_shard(folder, number, suffix) for suffix in ("tokens.npy", "offsets.npy")]
    for path, array in zip(paths, (np.concatenate(arrays), offsets), strict=True):
        with atomic_path(path) as partial:
            np.save(partial, array)
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    facts = {"texts": len(texts), "bytes": size, "sizes": [path.stat().st_size for path in paths]}
    write_json(_shard(folder, number, "json"), facts)
    return facts


def _encode(texts: list[str], tokenizer: Tokenizer, dtype: np.dtype[Any]) -> list[NDArray[Any]]:
    """Token ids of each text, `[CLS]` and `[SEP]` included."""
    empty = tokenizer.encode("").ids
    assert len(empty) == 2, "a tokenizer source gives [CLS] tokens [SEP]"
    cls, sep = (np.array([token], dtype=dtype) for token in empty)
    pieces, counts = [], []
    for text in texts:
        cut = list(_pieces(text))
        pieces += cut
        counts.append(len(cut))
    encoded = iter(_encode_batches(pieces, tokenizer, dtype))
    return [np.concatenate([cls, *islice(encoded, count), sep]) for count in counts]


def _encode_batches(pieces: list[str], tokenizer: Tokenizer, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(pieces), 4096):
        for encoding in tokenizer.encode_batch_fast(pieces[start : start + 4096], add_special_tokens=False):
            yield np.array(encoding.ids, dtype=dtype)


def _pieces(text: str) -> Iterator[str]:
    """A long text is tokenised in pieces that end at a line break or a space, in parallel and without huge strings."""
    start = 0
    while len(text) - start > _PIECE_CHARACTERS:
        window = start + _PIECE_CHARACTERS
        end = max(text.rfind("\n", start, window) + 1, 0) or text.rfind(" ", start + 1, window)
        end = end if end > start else window
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
