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
    num_negatives: int = 0
    has_scores: bool = False

    @abstractmethod
    def column(self, name: str, split: str) -> Iterable[str]:
        """Texts of `split`.

        Args:
            name: `"text"` for running text, `"query"` or `"document"` for the two sides of the pairs, in one order;
                `"negative"` for `num_negatives` hard negatives a pair, one after the other.
            split: `train`, `validation` or `test`.
        """

    def scores(self, split: str) -> Iterable[float]:
        """A teacher's scores of each pair's document and hard negatives, one after the other, where there are some."""
        return ()

    @abstractmethod
    def tokenizer_texts(self) -> Iterable[str]:
        """What a tokenizer is trained on: texts of the training split."""
