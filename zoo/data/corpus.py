"""What a data module needs to know of a corpus: its texts, and what they are called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

SPLITS = ("train", "validation", "test")


class Corpus(ABC):
    """Texts, pairs, or both, in three splits. Every method may be called again and gives the same in the same order."""

    name: str
    content_hash: str
    facts: dict[str, Any]

    @abstractmethod
    def column(self, name: str, split: str) -> Iterable[str]:
        """Texts of `split`.

        Args:
            name: `"text"` for running text, `"query"` or `"document"` for the two sides of the pairs, in one order.
            split: `train`, `validation` or `test`.
        """

    @abstractmethod
    def tokenizer_texts(self) -> Iterable[str]:
        """What a tokenizer is trained on: texts of the training split."""
