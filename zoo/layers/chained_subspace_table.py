"""A subspace table whose softmax predicts the digits of a token one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zoo.layers.box_softmax import draw
from zoo.layers.digits import numbers_of
from zoo.layers.linear_cross_entropy import chunk_rows
from zoo.layers.score_blocks import ranks_in
from zoo.layers.subspace_table import SubspaceTable


class ChainedSubspaceTable(SubspaceTable):
    """`p(v | h) = p(c_1 | h) p(c_0 | h, c_1)` with two tables T_0, T_1 and codes c_0, c_1 of the token.

    `p(c_1 | h)` is the softmax of `h_1 T_1'`, over the tokens with own rows too, and `p(c_0 | h, c_1)` that of
    `(h_0 + A T_1[c_1]) T_0' + B[c_1]`, over the codes that belong to a token; B holds the bias of each token. The sum
    of digits scores, by contrast, makes the digits independent given h. O(N (n D + D^2 / 4)) for N rows, whatever V is.

    Args:
        num_rows: V.
        width: D, even.
        init_std: standard deviation of the normal initialisation; A starts at 0.
        own_rows: R.
        base: n, as in `SubspaceTable`.

    Raises:
        ValueError: if the sizes do not fit together.
    """

    scores_are_products = False

    def __init__(
        self, num_rows: int, width: int, init_std: float = 0.02, own_rows: int = 0, base: int | None = None
    ) -> None:
        super().__init__(num_rows, width, init_std, 2, own_rows, base)
        self.follow = nn.Linear(width // 2, width // 2, bias=False)
        nn.init.zeros_(self.follow.weight)

    @property
    def keeps_zero_sum(self) -> bool:
        """The rows of T_1 have a part in the scores of c_0, whose gradients do not cancel."""
        return False

    def _log_probs(self, hidden: Tensor, targets: Tensor, bias: Tensor | None) -> Tensor:
        parts = _Parts(self, hidden, bias)
        places = self.places[targets].long()
        low, high = self.codes[(places - self.own_rows).clamp_min(0)].long().T
        first = torch.where(places < self.own_rows, places, high + self.own_rows)
        second = parts.second(high).log_softmax(-1).gather(1, low[:, None]).squeeze(1)
        chosen = parts.first.log_softmax(-1).gather(1, first[:, None]).squeeze(1)
        return chosen + torch.where(places < self.own_rows, 0.0, second)

    def add_helpers(self) -> None:
        """Refused: a sum of two tables has no single next digit.

        Raises:
            ValueError: always.
        """
        raise ValueError("ReclusterCodes and chained digits do not go together: use SubspaceEmbedding, or other codes")

    def topk(
        self, hidden: Float[Tensor, "rows dim"], k: int, bias: Float[Tensor, " vocab"] | None = None
    ) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best log-probabilities of each row and their ids, best first: all of them are computed."""
        with torch.autocast(hidden.device.type, enabled=False):
            best = [scores.topk(k) for scores in self._all_log_probs(hidden, bias)]
        return torch.cat([b.values for b in best]), self._ids_of_cells[torch.cat([b.indices for b in best])]

    def ranks(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Int[Tensor, " rows"]:
        """How many tokens score at least as high as each target, itself included."""
        cells = self._cells_of_ids[targets].split(self._chunk_rows)
        with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
            chunks = zip(self._all_log_probs(hidden, bias), cells, strict=True)
            # a cell of no token is below all others, unless a score is no number
            found = [ranks_in(scores, y).clamp(max=self.num_rows) for scores, y in chunks]
        return torch.cat(found)

    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        bias: Float[Tensor, " vocab"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """One id a row: an own row or the first digit, then the second."""
        own = self.own_rows
        with torch.autocast(hidden.device.type, enabled=False):
            parts = _Parts(self, hidden, bias)
            first = draw(parts.first, generator)
            # a row that drew an own row needs no second digit, and its first may be that of no token
            used = torch.where(first < own, self.codes[0, 1].long(), first - own)
            low = draw(parts.second(used), generator)
        return self._ids_of_cells[torch.where(first < own, first, own + used * self.base + low)]

    @property
    def _chunk_rows(self) -> int:
        return chunk_rows(self.own_rows + self.base**2)

    def _all_log_probs(self, hidden: Tensor, bias: Tensor | None) -> Iterator[Tensor]:
        """Those of all cells, (rows, R + n^2), minus infinity where no token is, for some rows at a time."""
        own = self.own_rows
        for rows in hidden.split(self._chunk_rows):
            parts = _Parts(self, rows, bias)
            first = parts.first.log_softmax(-1)
            tail = first[:, own:, None] + parts.all_seconds().log_softmax(-1)
            tail = tail.masked_fill(parts.unused[:, None], -torch.inf)
            yield torch.cat([first[:, :own], tail.flatten(1)], 1)

    @property
    def _cells_of_ids(self) -> Tensor:
        """Own row or pair of digits of each token, as a number: (V,)."""
        tail = self.own_rows + numbers_of(self.codes, self.base)
        return torch.cat([torch.arange(self.own_rows, device=tail.device), tail])[self.places.long()]

    @property
    def _ids_of_cells(self) -> Tensor:
        """Token id of each own row and of each pair of digits, 0 where a pair belongs to no token: (R + n^2,)."""
        ids = torch.zeros(self.own_rows + self.base**2, dtype=torch.int64, device=self.places.device)
        ids[self._cells_of_ids] = torch.arange(self.num_rows, device=ids.device)
        return ids


class _Parts:
    """Scores of own rows and first digits, (N, R + n), and of second digits after given first ones, (N, n)."""

    def __init__(self, table: ChainedSubspaceTable, hidden: Tensor, bias: Tensor | None) -> None:
        dtype = torch.promote_types(torch.promote_types(hidden.dtype, table.matrix.dtype), torch.float32)
        wide = hidden.to(dtype)
        self.lower, upper = wide.chunk(2, dim=1)
        self.low_rows, high_rows = table.matrix.to(dtype).chunk(2)
        by_place = torch.zeros(table.num_rows, dtype=dtype, device=hidden.device)
        if bias is not None:
            by_place = by_place.index_put((table.places.long(),), bias.to(dtype))
        empty = by_place.new_full((table.base**2,), -torch.inf)
        filled = empty.index_put((numbers_of(table.codes, table.base),), by_place[table.own_rows :])
        self.cells = filled.view(table.base, table.base)
        self.unused = self.cells.detach().amax(-1) == -torch.inf
        first = (upper @ high_rows.T).masked_fill(self.unused, -torch.inf)
        if table.own is not None:
            own = wide @ table.own.matrix.to(dtype).T + by_place[: table.own_rows]
            first = torch.cat([own, first], 1)
        self.first = first
        self.steps = high_rows @ table.follow.weight.to(dtype).T

    def second(self, high: Tensor) -> Tensor:
        """Scores of c_0 after the c_1 of each row."""
        return (self.lower + self.steps[high]) @ self.low_rows.T + self.cells[high]

    def all_seconds(self) -> Tensor:
        """Scores of c_0 after every c_1: (N, n, n); all minus infinity after a c_1 that belongs to no token."""
        return (self.lower @ self.low_rows.T)[:, None] + self.steps @ self.low_rows.T + self.cells
