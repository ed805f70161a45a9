"""Codes in which similar tokens share blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts import Vocabulary
from zoo.embeddings.codes.balanced import hierarchy
from zoo.embeddings.codes.code_assignment import CodeAssignment, by_frequency, check_digits, needed_rows, places_of
from zoo.embeddings.codes.least_squares import start_at
from zoo.layers.digits import digits_of
from zoo.layers.subspace_table import SubspaceTable


class ClusterCodes(CodeAssignment):
    """Digits of balanced hierarchical k-means over the vectors of a trained model.

    The top digit is a cluster of tokens; the others say where in its cluster a token lies, in directions that mean the
    same in every cluster. All codes are different and spell the numbers 0 to V - R - 1, so the softmax keeps its
    cheapest form. The tables start at the means of the trained vectors that they stand for, own rows at the vectors.

    Args:
        model: trained model with a full table and the same tokenizer: run folder, checkpoint or Hugging Face encoder.
            Null takes the one that training starts from (`init_from`).
        seed: of k-means.

    Raises:
        FileNotFoundError: if there is no such model (when training begins).
        ValueError: if its vocabulary or width is another one (when training begins).

    References:
        A. Jaiswal and H. Liu, arXiv 2308.08688 (codes from k-means over the vectors of a language model).

    Differs from the paper:
        The paper's number of clusters, digit order and rule for collisions are not published. These are balanced, and
        aligned between clusters.
    """

    def __init__(self, model: str | None = None, seed: int = 0) -> None:
        self.model, self.seed = model, seed

    def prepare(self, table: SubspaceTable) -> None:
        """Refuse a base that leaves rows without a token."""
        check_digits(table)

    def assign(
        self, table: SubspaceTable, vocabulary: Vocabulary, counts: Tensor, trained: Tensor | None = None
    ) -> None:
        """Cluster the tokens behind the own rows."""
        order = by_frequency(vocabulary, counts)
        trained = needed_rows(self.model, trained, vocabulary, table.width)
        rows = trained[order[table.own_rows :]]
        numbers = torch.from_numpy(hierarchy(rows.numpy(), table.base, table.num_tables, self.seed))
        table.assign(places_of(order), digits_of(numbers, table.base, table.num_tables))
        start_at(table, trained)
