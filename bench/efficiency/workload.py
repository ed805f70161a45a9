"""The texts that every model is timed on, of declared lengths."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VERSION = "1"  # of the way from documents to texts; a new one makes new columns


@dataclass(frozen=True)
class Workload:
    """Texts to encode.

    Args:
        texts: distinct by construction, unless the documents are very few.
        rows: sha256 of the texts in their order.
    """

    texts: tuple[str, ...]
    rows: str


def build(documents: Iterable[str], words: Sequence[int]) -> Workload:
    """Cut running text into pieces of `words[0]`, `words[1]`, ... white-space separated words.

    The documents stand in the order of their hash, so that it does not matter how they were stored, and start again at
    the first where they are too short.

    Args:
        documents: any texts.
        words: length of each text, in words.

    Raises:
        ValueError: if the documents hold no word.

    Example:
        >>> build(["a b c d e f"], [2, 3]).texts
        ('a b', 'c d e')
    """
    stream = _words(documents)
    texts = tuple(" ".join(itertools.islice(stream, count)) for count in words)
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return Workload(texts, digest.hexdigest())


@cache
def docstrings(cache_dir: str | Path | None = None) -> list[str]:
    """Docstrings of the standard library of this Python, read once, so that no measurement runs beside the reading."""
    from zoo.data.pydoc_splits import load_pydoc

    return [pair.docstring for pair in load_pydoc(["stdlib"], cache_dir).pairs("train")]


def _words(documents: Iterable[str]) -> Iterator[str]:
    ordered = sorted(set(documents), key=lambda text: hashlib.sha256(text.encode()).digest())
    words = [word for text in ordered for word in text.split()]
    if not words:
        raise ValueError("the documents of the workload hold no word: name another corpus")
    return itertools.cycle(words)
