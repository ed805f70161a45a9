"""What is computed together: decided from the texts alone, so that it is the same for any number of processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A window is what a killed run loses at most, and one file: seconds of work, a few megabytes.
WINDOW_CHARACTERS = 512 * 1024
WINDOW_TEXTS = 8192

KEY_BYTES = 16
KEY = np.dtype(f"S{KEY_BYTES}")
Keys = NDArray[np.bytes_]


@dataclass(frozen=True)
class Distinct:
    """Texts without their repetitions.

    Args:
        texts: each once, in the order of their first appearance.
        keys: their digests.
        inverse: for each text that was given, its place among `texts`.
    """

    texts: list[str]
    keys: Keys
    inverse: NDArray[np.intp]


@dataclass(frozen=True)
class Window:
    """Texts that are tokenized, computed and stored together.

    Args:
        places: of its texts among the distinct ones.
        name: digest of what it holds, in hexadecimal.
    """

    places: NDArray[np.intp]
    name: str


def distinct(texts: Sequence[str]) -> Distinct:
    """Find repetitions.

    Example:
        >>> found = distinct(["a", "b", "a"])
        >>> found.texts, found.inverse.tolist()
        (['a', 'b'], [0, 1, 0])
    """
    places: dict[bytes, int] = {}
    unique: list[str] = []
    inverse = np.empty(len(texts), dtype=np.intp)
    for row, text in enumerate(texts):
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()
        place = places.setdefault(key, len(unique))
        if place == len(unique):
            unique.append(text)
        inverse[row] = place
    return Distinct(unique, np.array(list(places), dtype=KEY), inverse)


def windows(found: Distinct, skip: NDArray[np.bool_]) -> list[Window]:
    """Cut the texts that are not to be skipped into windows, longest texts first.

    Args:
        found: the texts.
        skip: for each of them, whether it is known already.
    """
    places = np.flatnonzero(~skip)
    sizes = np.array([len(found.texts[place]) for place in places], dtype=np.int64)
    # equal lengths stand in the order of their digests: the order in which texts were given must not matter
    order = np.lexsort((found.keys[places], -sizes))
    places, sizes = places[order], sizes[order]
    return [_window(found, places[part]) for part in _parts(sizes)]


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[NDArray[np.intp]]:
    """Places of texts that are computed together, longest first, none padded to more than `batch_tokens` in all.

    Example:
        >>> [batch.tolist() for batch in batches([3, 9, 4, 4], batch_tokens=12)]
        [[1], [2, 3, 0]]
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def _parts(sizes: NDArray[np.int64]) -> Iterator[slice]:
    start, characters = 0, 0
    for end, size in enumerate(sizes.tolist()):
        full = characters + size > WINDOW_CHARACTERS or end - start == WINDOW_TEXTS
        if full and end > start:
            yield slice(start, end)
            start, characters = end, 0
        characters += size
    if start < len(sizes):
        yield slice(start, len(sizes))


def _window(found: Distinct, places: NDArray[np.intp]) -> Window:
    name = hashlib.blake2b(found.keys[places].tobytes(), digest_size=8).hexdigest()
    return Window(places, name)
