"""Near-duplicates among many short texts, by MinHash over word shingles, on whole arrays at once.

A library such as datasketch hashes one text after the other in Python; this does a hundred thousand texts in the time
that it needs for a few thousand, because a signature is a handful of array operations over all the bytes together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_SHINGLE = 5  # words
_BANDS, _ROWS = 16, 4  # two texts of similarity .8 share a band with probability 1 - (1 - .8^4)^16 = .9998
_HASHES = _BANDS * _ROWS
_CHUNK_BYTES = 4_000_000
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, hence invertible modulo 2^64
_WORD_BYTES = np.zeros(256, dtype=bool)
_WORD_BYTES[[c for c in range(256) if chr(c).isalnum() or c == ord("_") or c >= 128]] = True
_SPACE_BYTES = np.zeros(256, dtype=bool)
_SPACE_BYTES[list(b" \t\n\r\f\v\x00")] = True


def near_duplicates(texts: Sequence[str], threshold: float = 0.8) -> NDArray[np.bool_]:
    r"""Mark every text that is nearly the same as an earlier one that was not marked.

    The similarity of two texts is the Jaccard index of their sets of 5 consecutive words (punctuation marks are words
    of their own, white space is nothing), estimated by the share of 64 minimum hashes that agree.

    Args:
        texts: in the order of preference; the first of several alike is kept.
        threshold: similarity from which on two texts are near-duplicates, 0 to 1.

    Returns:
        bool, shape (number of texts,), true for those to drop.

    References:
        Broder, "On the resemblance and containment of documents", SEQUENCES 1997.

    >>> near_duplicates(["one two three four five six", "nothing like it", "one two  three four\nfive six"]).tolist()
    [False, False, True]
    """
    duplicate = np.zeros(len(texts), dtype=bool)
    if not texts:
        return duplicate
    signatures = np.concatenate([_signatures(chunk) for chunk in _chunks(texts)])
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, keys in enumerate(_band_keys(signatures).tolist()):
        slots = [buckets[band, key] for band, key in enumerate(keys)]
        candidates = sorted({earlier for slot in slots for earlier in slot})
        if candidates:
            agreement = (signatures[candidates] == signatures[index]).mean(axis=1)
            duplicate[index] = bool((agreement >= threshold).any())
        if not duplicate[index]:
            for slot in slots:
                slot.append(index)
    return duplicate


def _chunks(texts: Sequence[str]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for text in texts:
        chunk.append(text.encode("utf-8", "replace"))
        size += len(chunk[-1])
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _signatures(chunk: list[bytes]) -> NDArray[np.uint32]:
    """Minimum hashes of some texts, shape (texts, 64)."""
    words, word_counts = _word_hashes(chunk)
    shingles = np.zeros(len(words), dtype=np.uint64)
    owner = np.repeat(np.arange(len(chunk)), word_counts)
    for shift in range(_SHINGLE):
        # A shingle that reaches beyond the end of its text is filled with zeros, so that a short text has shingles too.
        following = np.zeros_like(words)
        inside = owner[shift:] == owner[: len(owner) - shift]
        following[: len(words) - shift] = np.where(inside, words[shift:], np.uint64(0))
        shingles = _mix(shingles * _BASE + following)
    return _minimum_hashes(shingles, word_counts)


def _minimum_hashes(shingles: NDArray[np.uint64], counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    signatures = np.full((len(counts), _HASHES), np.iinfo(np.uint32).max, dtype=np.uint32)
    filled = counts > 0
    if not filled.any():
        return signatures
    starts = (np.cumsum(counts) - counts)[filled]
    rng = np.random.default_rng(0)
    factors = rng.integers(1, 2**63, size=_HASHES, dtype=np.uint64) | np.uint64(1)
    for k, factor in enumerate(factors):
        hashes = ((shingles * factor) >> np.uint64(32)).astype(np.uint32)
        signatures[filled, k] = np.minimum.reduceat(hashes, starts)
    return signatures


def _word_hashes(chunk: list[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Polynomial hash of each word of all texts, and the number of words of each text."""
    data = np.frombuffer(b"\x00".join(chunk) + b"\x00", dtype=np.uint8)
    is_word = _WORD_BYTES[data]
    is_mark = ~is_word & ~_SPACE_BYTES[data]
    before = np.concatenate([[False], is_word[:-1]])
    after = np.concatenate([is_word[1:], [False]])
    starts = np.flatnonzero((is_word & ~before) | is_mark)
    ends = np.flatnonzero((is_word & ~after) | is_mark) + 1
    # sum of byte_i * base^i over a word, from prefix sums modulo 2^64, times base^-start.
    powers = np.cumprod(np.full(len(data), _BASE))
    prefix = np.concatenate([np.zeros(1, np.uint64), np.cumsum((data.astype(np.uint64) + np.uint64(1)) * powers)])
    inverse = np.uint64(pow(int(_BASE), -1, 2**64))
    unshift = np.cumprod(np.full(len(data), inverse))
    hashes = _mix((prefix[ends] - prefix[starts]) * unshift[starts])
    text_ends = np.cumsum([len(text) + 1 for text in chunk])
    return hashes, np.diff(np.searchsorted(starts, text_ends), prepend=0)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread the bits (the finaliser of splitmix64), so that the high ones depend on all."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _band_keys(signatures: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """One key for each band of each text, shape (texts, 16)."""
    rows = signatures.reshape(len(signatures), _BANDS, _ROWS).astype(np.uint64)
    keys = np.zeros(rows.shape[:2], dtype=np.uint64)
    for row in range(_ROWS):
        keys = _mix(keys * _BASE + rows[:, :, row])
    return keys
