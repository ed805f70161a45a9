"""Codes that the model finds for itself while it trains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.contracts import Vocabulary
from zoo.embeddings.codes.code_assignment import CodeAssignment, by_frequency, places_of
from zoo.embeddings.codes.least_squares import start_at
from zoo.embeddings.codes.pq_codes import quantised
from zoo.layers.subspace_table import SubspaceTable


class ReclusterCodes(CodeAssignment):
    """Sequential codes at first; at given points of the training the tokens are clustered anew by what they learned.

    A token that shares all its blocks has nothing of its own to be clustered by. So until the last of these points
    each block is a sum `T_j[c_j(v)] + H_j[r_j(v)]` with random codes r and a second set of tables H, of the same size
    and 0 at first. At each point the sums are quantised without collisions (as `PQCodes` does with a trained model's
    vectors), the tables T start at the means of the clusters, and H at 0 again with other random codes. After the
    last point H stays 0 and out of use, though a count of parameters still shows it. Until then a tied softmax uses the
    form for any codes, O(N V f).

    Args:
        at: points of the run, as fractions of its steps, in (0, 1) and rising.
        seed: of random codes and k-means.

    Raises:
        ValueError: if the points are out of range or do not rise.

    References:
        H. Tsang and T. Ahle, Clustering the Sketch: Dynamic Compression for Embedding Tables, NeurIPS 2023,
        arXiv 2210.05974.

    Differs from the paper:
        No two tokens share all their codes, and every token is clustered rather than a sample.
    """

    def __init__(self, at: Sequence[float] = (0.1, 0.25), seed: int = 0) -> None:
        if not at or list(at) != sorted(set(at)) or at[0] <= 0 or at[-1] >= 1:
            raise ValueError(f"at={list(at)}: give rising fractions of the run between 0 and 1, such as [0.1, 0.25]")
        self.at, self.seed = tuple(at), seed

    def prepare(self, table: SubspaceTable) -> None:
        """Add the second tables."""
        table.add_helpers()

    def assign(
        self, table: SubspaceTable, vocabulary: Vocabulary, counts: Tensor, trained: Tensor | None = None
    ) -> None:
        """Places by frequency, codes the digits of places."""
        table.assign(places_of(by_frequency(vocabulary, counts)))
        if trained is not None:
            start_at(table, trained)
        table.help_with(self._random_codes(table, 0), 0)

    def before_step(self, table: SubspaceTable, step: int, total_steps: int) -> Sequence[nn.Parameter]:
        """Cluster anew where a point is reached."""
        done = table.num_clusterings
        due = sum(step >= point * total_steps for point in self.at)
        if not 0 <= done < due:
            return ()
        with torch.no_grad():
            rows = table.weight()
        tail = torch.empty_like(rows).index_copy_(0, table.places.long(), rows)[table.own_rows :]
        codes = quantised(tail.float().cpu(), table.base, table.num_tables, self.seed + done)
        table.assign(table.places, codes.to(table.codes.device))
        start_at(table, rows)
        last = due == len(self.at)
        table.help_with(None if last else self._random_codes(table, due), due)
        return table.tables_of_codes

    def _random_codes(self, table: SubspaceTable, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(1000 * self.seed + number)
        return torch.randint(table.base, tuple(table.codes.shape), generator=generator)
