"""What every assignment of codes promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.contracts import Vocabulary
from zoo.donor import read_donor
from zoo.layers.digits import smallest_base
from zoo.layers.subspace_table import SubspaceTable


class CodeAssignment(ABC):
    """Gives the tokens of a new subspace table their places and codes, before training begins."""

    @property
    def follows_frequency(self) -> bool:
        """Whether frequent tokens have the first places and codes are their digits, so that digits tell frequencies."""
        return False

    @abstractmethod
    def assign(
        self, table: SubspaceTable, vocabulary: Vocabulary, counts: Tensor, trained: Tensor | None = None
    ) -> None:
        """Call `table.assign`, and set the rows of its tables where the assignment knows better ones.

        Args:
            table: new, with its initial weights.
            vocabulary: size and special ids.
            counts: how often each token occurs in the training texts: (V,).
            trained: vectors of the model that training starts from, (V, D), where there is one with a full table.
        """

    def prepare(self, table: SubspaceTable) -> None:  # noqa: B027 (most assignments have nothing to do here)
        """Told once, when a table is built: before its weights come from anywhere.

        Raises:
            ValueError: if these codes and this table do not go together.
        """

    def before_step(self, table: SubspaceTable, step: int, total_steps: int) -> Sequence[nn.Parameter]:
        """Told before each step of the training; returns the parameters that were set anew, if any.

        Args:
            table: being trained.
            step: optimizer steps done.
            total_steps: of the whole run.
        """
        return ()


def by_frequency(vocabulary: Vocabulary, counts: Tensor) -> Tensor:
    """Token ids with the special ones first and then the most frequent first, equal counts by id: (V,)."""
    keys = counts.clone().to(torch.int64)
    keys[list(vocabulary.special_ids)] = torch.iinfo(torch.int64).max
    return keys.argsort(descending=True, stable=True)


def places_of(order: Tensor) -> Tensor:
    """Place of each token id in `order`: the inverse permutation."""
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order))
    return places


def check_digits(table: SubspaceTable) -> None:
    """Refuse more rows than digits of places address.

    Raises:
        ValueError: if the base is larger than it must be.
    """
    smallest = smallest_base(len(table.codes), table.num_tables)
    if table.base > smallest:
        raise ValueError(
            f"digits of places use {smallest} rows of each of {table.num_tables} tables, not {table.base}: "
            "leave out base and spend the parameters on own_rows, or use PQCodes"
        )


def needed_rows(model: str | None, trained: Tensor | None, vocabulary: Vocabulary, width: int) -> Tensor:
    """The vectors of the named model, or of the one that training starts from: (V, D).

    Args:
        model: run folder, checkpoint or Hugging Face encoder.
        trained: vectors of the model that training starts from.
        vocabulary: of the new model.
        width: D of the new model.

    Raises:
        ValueError: if there is neither.
    """
    if model is not None:
        return trained_rows(model, vocabulary, width)
    if trained is None:
        raise ValueError(
            "these codes come from the vectors of a trained model with a full table: set model.embedding.codes.model, "
            "or start the run from such a model with `zoo adapt` or model.init_from"
        )
    return trained


def trained_rows(model: str, vocabulary: Vocabulary, width: int) -> Tensor:
    """The input rows of a trained model: (V, D), float32.

    Args:
        model: run folder, checkpoint file, or Hugging Face encoder.
        vocabulary: of the new model, which must be that of the trained one.
        width: D of the new model.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if its vocabulary or width differs, or its embedding keeps no full table.
    """
    donor = read_donor(model)
    if not donor.knows(vocabulary):
        raise ValueError(
            f"{model} was trained with another tokenizer: set data.tokenizer to PretrainedTokenizer with name_or_path "
            f"{model}, or train that model on this data"
        )
    rows = donor.full_table()
    if rows is None:
        raise ValueError(f"{model} keeps no full table of its tokens: name a run with FullEmbedding or TiedEmbedding")
    if rows.shape[1] != width:
        raise ValueError(
            f"{model} has vectors of width {rows.shape[1]}, this model {width}: give model.width that value"
        )
    return rows.float()
