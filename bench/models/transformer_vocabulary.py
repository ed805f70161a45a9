"""The input table of a transformer under sentence-transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from bench.models.word_ids import WordIds
from bench.protocols import Side
from bench.records import ModelInfo


class TransformerVocabulary:
    """What a transformer reads its tokens with. Published files hold no output table and no counts of tokens.

    Args:
        network: the transformer.
        tokenizer: of `transformers`.
        info: of the encoder.
    """

    tied = False
    token_counts = None

    def __init__(self, network: Any, tokenizer: Any, info: ModelInfo) -> None:
        self._weight: torch.Tensor = network.get_input_embeddings().weight
        self._info = info
        # padded tables have more rows than there are tokens
        self._size = min(max(tokenizer.get_vocab().values()) + 1, len(self._weight))
        self.special_ids = tuple(sorted(tokenizer.all_special_ids))
        self._words = WordIds(
            lambda text: tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.decode, self.special_ids
        )

    @classmethod
    def of(cls, model: SentenceTransformer, info: ModelInfo) -> TransformerVocabulary | None:
        """Of a model that begins with a transformer; None for any other."""
        network = getattr(model[0], "auto_model", None)
        return None if network is None else cls(network, model.tokenizer, info)

    def describe(self) -> ModelInfo:
        """What is being scored."""
        return self._info

    def table(self, side: Side) -> NDArray[np.float64] | None:
        """One row a token: (V, H); None for the output."""
        if side == "output":
            return None
        rows: NDArray[np.float64] = self._weight.detach()[: self._size].double().cpu().numpy()
        return rows

    def token_id(self, word: str, *, leading_space: bool) -> int | None:
        """The token that is the whole of `word`; None where it takes several, or an unknown one."""
        return self._words.find(word, leading_space=leading_space)
