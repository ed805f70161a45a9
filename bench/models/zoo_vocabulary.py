"""The tables of a model trained by `zoo fit`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from bench.models.word_ids import WordIds
from bench.protocols import Side
from bench.records import ModelInfo
from zoo.contracts import OutputTable
from zoo.objectives.language_model import LanguageModel
from zoo.objectives.objective import Objective


class ZooVocabulary:
    """Input rows as the embedding gives them, whatever they are made of; output rows of the head, if there is one.

    Args:
        objective: built, with its weights.
        info: of the encoder: one model has one revision, so that all its records stand in one row.
    """

    def __init__(self, objective: Objective, info: ModelInfo) -> None:
        self._objective = objective
        self._info = info
        tokenizer = objective.tokenizer
        self._words = WordIds(
            lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
            lambda ids: tokenizer.decode(list(ids), skip_special_tokens=False),
            self.special_ids,
        )

    @property
    def tied(self) -> bool:
        """Whether the head multiplies with the table of the embedding."""
        output = self._output
        return output is not None and self._objective.embedding.output_table() is output

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Ids that carry no text."""
        return self._objective.vocabulary.special_ids

    @property
    def token_counts(self) -> NDArray[np.int64] | None:
        """How often each token occurs in the training texts: (V,); None where that is unknown."""
        counts = self._objective.token_counts
        return None if counts is None else counts.cpu().numpy().astype(np.int64)

    def describe(self) -> ModelInfo:
        """What is being scored."""
        return self._info

    @torch.inference_mode()
    def table(self, side: Side) -> NDArray[np.float64] | None:
        """One row a token: (V, H); None for the output where no table is multiplied with hidden vectors."""
        ids = torch.arange(self._objective.vocabulary.size, device=self._objective.device)
        if side == "input":
            rows = self._objective.embedding(ids)
        elif self._output is not None:
            rows = self._output.rows(ids)
        else:
            return None
        table: NDArray[np.float64] = rows.double().cpu().numpy()
        return table

    def token_id(self, word: str, *, leading_space: bool) -> int | None:
        """The token that is the whole of `word`; None where it takes several, or an unknown one."""
        return self._words.find(word, leading_space=leading_space)

    @property
    def _output(self) -> OutputTable | None:
        # a head with rows of its own has no table
        table = getattr(self._objective.head, "table", None) if isinstance(self._objective, LanguageModel) else None
        return table if isinstance(table, OutputTable) and table.scores_are_products else None
