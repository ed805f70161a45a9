"""The contract of a tokenizer source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from tokenizers import Tokenizer


class TokenizerSource(ABC):
    """Where a tokenizer comes from: trained on the texts of a corpus, or loaded.

    Every tokenizer that a source builds encodes a document as `[CLS] tokens [SEP]`, neither pads nor truncates, and is
    the same whenever the texts and the source's arguments are.
    """

    @property
    @abstractmethod
    def key(self) -> str:
        """A string that differs whenever `build` may give a different tokenizer for the same texts."""

    @abstractmethod
    def build(self, texts: Iterable[str]) -> Tokenizer:
        """Train (or load) the tokenizer.

        Args:
            texts: training texts; a source that loads a tokenizer does not look at them.
        """
