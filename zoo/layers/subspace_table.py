"""A vocabulary table of concatenated blocks: V tokens from f short tables."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contracts import OutputTable
from zoo.layers import digit_softmax
from zoo.layers.digits import digits_of, numbers_of, smallest_base
from zoo.layers.output_matrix import OutputMatrix


class SubspaceTable(OutputTable):
    """`e_v = [T_0[c_0(v)]; ...; T_{f-1}[c_{f-1}(v)]]` with f tables of n x D/f, and dense rows for some tokens.

    Parameters: n D + R D in place of V D, with V - R <= n^f. A new table has sequential codes: the digits of a token's
    place, least significant first, places being ids. `assign` changes places or codes; checkpoints keep both.

    The softmax over all tokens is exact and never composes the table: without a bias and with codes that are digits of
    places it costs O(N (n D + f n)) for N rows, whatever V is (`digit_softmax` has the three forms).

    Args:
        num_rows: V.
        width: D, a multiple of `num_tables`.
        init_std: standard deviation of the normal initialisation.
        num_tables: f.
        own_rows: R, tokens with a dense row of their own: those at the places 0 to R - 1.
        base: n, rows of each table; None takes the smallest with which V - R tokens have codes of their own.

    Raises:
        ValueError: if the sizes do not fit together.

    References:
        A. Jaiswal and H. Liu, arXiv 2308.08688, section 3.
        H. Shi et al., Compositional Embeddings Using Complementary Partitions, arXiv 1909.02107: the same codes.

    Differs from the paper:
        No row for padding, which never reaches a table; own rows; one flat table; the head composes nothing.
    """

    places: Tensor
    codes: Tensor

    def __init__(
        self,
        num_rows: int,
        width: int,
        init_std: float = 0.02,
        num_tables: int = 2,
        own_rows: int = 0,
        base: int | None = None,
    ) -> None:
        super().__init__()
        if num_tables < 1 or width % num_tables:
            near = [f for f in range(1, 17) if width % f == 0]
            raise ValueError(f"{num_tables} tables do not divide width {width}: choose num_tables among {near}")
        if not 0 <= own_rows < num_rows:
            raise ValueError(
                f"own_rows must lie in [0, {num_rows}), not {own_rows}: all rows of their own are a full table"
            )
        self.num_rows, self.width, self.num_tables = num_rows, width, num_tables
        smallest = smallest_base(num_rows - own_rows, num_tables)
        if base is not None and base < smallest:
            raise ValueError(
                f"{num_tables} tables of {base} rows have no codes for {num_rows - own_rows} tokens: set base to at "
                f"least {smallest}, or more num_tables or own_rows"
            )
        self.base = base or smallest
        self.matrix = nn.Parameter(torch.empty(num_tables * self.base, width // num_tables))
        nn.init.normal_(self.matrix, std=init_std)
        self.own = OutputMatrix(own_rows, width, init_std) if own_rows else None
        self.register_buffer("places", torch.arange(num_rows, dtype=torch.int32))
        tail = torch.arange(num_rows - own_rows)
        self.register_buffer("codes", digits_of(tail, self.base, num_tables).to(torch.int32))
        self._box: bool | None = None

    @property
    def table_rows(self) -> tuple[int, ...]:
        """Of f tables of n rows, one after the other."""
        return (self.base,) * self.num_tables

    @property
    def own_rows(self) -> int:
        """R."""
        return 0 if self.own is None else self.own.num_rows

    @property
    def rank_bound(self) -> int:
        """Largest rank that the composed table can have: `min(sum_j min(n, D/f), f n - (f - 1)) + R`, at most D."""
        block = self.width // self.num_tables
        tail = min(self.num_tables * min(self.base, block), self.num_tables * (self.base - 1) + 1)
        return min(tail + self.own_rows, self.width, self.num_rows)

    @property
    def keeps_zero_sum(self) -> bool:
        """A gradient that sums to 0 over all tokens does so over each table, unless some tokens have own rows."""
        return self.own is None

    def assign(self, places: Int[Tensor, " vocab"], codes: Int[Tensor, "tail digits"] | None = None) -> None:
        """Give tokens places, and the places behind the own rows codes.

        Args:
            places: of each token id: a permutation of 0 to V - 1.
            codes: of the places R to V - 1, all different; None takes the digits of place - R.

        Raises:
            ValueError: if places repeat, or codes repeat or are out of range.
        """
        if sorted(places.tolist()) != list(range(self.num_rows)):
            raise ValueError(f"places must be a permutation of 0 to {self.num_rows - 1}, one a token")
        if codes is not None:
            if codes.shape != self.codes.shape or int(codes.min()) < 0 or int(codes.max()) >= self.base:
                shape = tuple(self.codes.shape)
                raise ValueError(f"codes must be {shape} numbers from 0 to {self.base - 1}, not {tuple(codes.shape)}")
            repeated = len(codes) - len(numbers_of(codes, self.base).unique())
            if repeated:
                raise ValueError(f"{repeated} tokens share their codes with another one and could never be told apart")
            self.codes.copy_(codes)
        self.places.copy_(places)
        self._box = None

    def rows(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        """The composed vectors of `ids`."""
        places = self.places[ids].long()
        tail = places - self.own_rows
        offsets = torch.arange(self.num_tables, device=ids.device) * self.base
        blocks = F.embedding(self.codes[tail.clamp_min(0)].long() + offsets, self.matrix)
        vectors = blocks.flatten(1)
        if self.own is None:
            return vectors
        own = F.embedding(places.clamp_max(self.own_rows - 1), self.own.matrix)
        return torch.where((tail < 0)[:, None], own, vectors)

    def weight(self) -> Float[Tensor, "vocab dim"]:
        """The composed table, V x D: for export and tests; no training step needs it."""
        return self.rows(torch.arange(self.num_rows, device=self.matrix.device))

    def cross_entropy(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy of the softmax over all tokens, in nats.

        Raises:
            ValueError: if there is no row.
        """
        if len(targets) == 0:
            raise ValueError("cross-entropy needs at least one target: the batch holds none")
        return -self.log_probs(hidden, targets, bias).mean()

    def log_probs(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Float[Tensor, " rows"]:
        """Log-probability of each target under the softmax over all tokens, differentiable, at least float32."""
        # sums of exponentials in half precision would be too coarse, and their gradient would not sum to 0
        with torch.autocast(hidden.device.type, enabled=False):
            return self._log_probs(hidden, targets, bias)

    def _log_probs(self, hidden: Tensor, targets: Tensor, bias: Tensor | None) -> Tensor:
        scores, own, by_place = self._scores(hidden, bias)
        places = self.places[targets].long()
        tail = (places - self.own_rows).clamp_min(0)
        picked = self.codes[tail].long()
        if by_place is None and self._is_box:
            normaliser, chosen = digit_softmax.box(scores, len(self.codes), picked)
        else:
            chosen = scores.gather(2, picked.T[:, :, None]).sum((0, 2))
            tail_bias = None if by_place is None else by_place[self.own_rows :]
            if tail_bias is not None:
                chosen = chosen + tail_bias[tail]
            normaliser = self._log_sum(scores, tail_bias)
        if own is not None:
            mine = own.gather(1, places.clamp_max(self.own_rows - 1)[:, None]).squeeze(1)
            chosen = torch.where(places < self.own_rows, mine, chosen)
            normaliser = torch.logaddexp(own.logsumexp(-1), normaliser)
        return chosen - normaliser

    def topk(
        self, hidden: Float[Tensor, "rows dim"], k: int, bias: Float[Tensor, " vocab"] | None = None
    ) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]:
        """The k best scores of each row and their ids, best first."""
        with torch.autocast(hidden.device.type, enabled=False):
            scores, own, by_place = self._scores(hidden, bias)
        few = min(k, len(self.codes))
        if self._is_box and by_place is None:
            values, numbers = digit_softmax.box_topk(scores, len(self.codes), few)
            places = self._place_of_number[numbers]
        else:
            tail_bias = None if by_place is None else by_place[self.own_rows :]
            values, places = digit_softmax.gather_topk(scores, self.codes, tail_bias, few)
        places = places + self.own_rows
        if own is not None:
            best = own.topk(min(k, self.own_rows))
            values, places = torch.cat([best.values, values], 1), torch.cat([best.indices, places], 1)
        values, chosen = values.topk(k)
        ids = torch.empty_like(self.places, dtype=torch.int64)
        ids[self.places.long()] = torch.arange(self.num_rows, device=ids.device)
        return values, ids[places.gather(1, chosen)]

    def _scores(self, hidden: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Scores of the digits (f, N, n) and of the own rows (N, R), and the bias by place, in at least float32."""
        dtype = torch.promote_types(torch.promote_types(hidden.dtype, self.matrix.dtype), torch.float32)
        wide = hidden.to(dtype)
        blocks = wide.view(len(wide), self.num_tables, -1).transpose(0, 1)
        tables = self.matrix.to(dtype).view(self.num_tables, self.base, -1)
        scores = torch.bmm(blocks, tables.transpose(1, 2))
        by_place = None
        if bias is not None:
            by_place = torch.empty_like(bias, dtype=dtype).index_put((self.places.long(),), bias.to(dtype))
        if self.own is None:
            return scores, None, by_place
        own = wide @ self.own.matrix.to(dtype).T
        return scores, own if by_place is None else own + by_place[: self.own_rows], by_place

    def _log_sum(self, scores: Tensor, tail_bias: Tensor | None) -> Tensor:
        """Log of the sum over all tokens without own rows where they form no boxes, or have a bias."""
        if self.num_tables == 2:
            empty = scores.new_full((self.base * self.base,), -torch.inf)
            values = scores.new_zeros(len(self.codes)) if tail_bias is None else tail_bias
            cells = empty.index_put((numbers_of(self.codes, self.base),), values)
            return digit_softmax.grid(scores, cells.view(self.base, self.base))
        return digit_softmax.gather(scores, self.codes, tail_bias)

    @property
    def _is_box(self) -> bool:
        """Whether the codes spell the numbers 0 to V - R - 1, in any order."""
        if self._box is None:
            numbers = numbers_of(self.codes, self.base)
            self._box = int(numbers.max()) == len(numbers) - 1
        return self._box

    @property
    def _place_of_number(self) -> Tensor:
        """Which code spells each number: (V - R,)."""
        numbers = numbers_of(self.codes, self.base)
        places = torch.empty_like(numbers)
        places[numbers] = torch.arange(len(numbers), device=numbers.device)
        return places

    def _load_from_state_dict(self, *arguments: object, **named: object) -> None:
        self._box = None
        super()._load_from_state_dict(*arguments, **named)
