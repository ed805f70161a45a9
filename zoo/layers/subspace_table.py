"""A vocabulary table of concatenated blocks: V tokens from f short tables."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contracts import OutputTable
from zoo.layers.box_softmax import draw
from zoo.layers.digit_softmax import DigitSoftmax
from zoo.layers.digits import base_of, check_codes, digits_of, numbers_of
from zoo.layers.output_matrix import OutputMatrix


class SubspaceTable(OutputTable):
    """`e_v = [T_0[c_0(v)]; ...; T_{f-1}[c_{f-1}(v)]]` with f tables of n x D/f, and dense rows for some tokens.

    Parameters: n D + R D in place of V D, with V - R <= n^f; codes take f (V - R) bytes up to n = 256, else four times
    as many. A new table has sequential codes: the digits of a token's place, least significant first, places being
    ids. `assign` changes places or codes; checkpoints keep both.

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
    helper_codes: Tensor
    helps: Tensor
    clusterings: Tensor

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
            divisors = [f for f in range(1, width + 1) if width % f == 0]
            raise ValueError(f"{num_tables} tables do not divide width {width}: choose num_tables among {divisors}")
        if not 0 <= own_rows < num_rows:
            raise ValueError(f"own_rows must lie in [0, {num_rows}), not {own_rows}: else it is a full table")
        self.num_rows, self.width, self.num_tables = num_rows, width, num_tables
        self.base = base_of(base, num_rows - own_rows, num_tables)
        self.matrix = nn.Parameter(torch.empty(num_tables * self.base, width // num_tables))
        nn.init.normal_(self.matrix, std=init_std)
        self.own = OutputMatrix(own_rows, width, init_std) if own_rows else None
        self.register_buffer("places", torch.arange(num_rows, dtype=torch.int32))
        tail = torch.arange(num_rows - own_rows)
        # uint8 or int32: processes cannot send each other int16
        digit = torch.uint8 if self.base <= 256 else torch.int32
        self.register_buffer("codes", digits_of(tail, self.base, num_tables).to(digit))
        self.helpers: nn.Parameter | None = None
        self._spells: bool | None = None
        self._helping: bool | None = None
        self._clusterings: int | None = None

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

    def assign(self, places: Int[Tensor, " vocab"], codes: Integer[Tensor, "tail digits"] | None = None) -> None:
        """Give tokens places, and the places behind the own rows codes.

        Args:
            places: of each token id: a permutation of 0 to V - 1.
            codes: of the places R to V - 1, all different; None takes the digits of place - R.

        Raises:
            ValueError: if places repeat, or codes repeat or are out of range.
        """
        if sorted(places.tolist()) != list(range(self.num_rows)):
            raise ValueError(f"places must be a permutation of 0 to {self.num_rows - 1}, one a token")
        if codes is None:
            codes = digits_of(torch.arange(len(self.codes), device=self.codes.device), self.base, self.num_tables)
        check_codes(codes, tuple(self.codes.shape), self.base)
        self.codes.copy_(codes)
        self.places.copy_(places)
        self._spells = None

    def add_helpers(self) -> None:
        """Add a second set of tables of the same size, 0 and unused until `help_with`."""
        self.helpers = nn.Parameter(torch.zeros_like(self.matrix))
        self.register_buffer("helper_codes", torch.zeros_like(self.codes))
        self.register_buffer("helps", torch.tensor(0))
        self.register_buffer("clusterings", torch.tensor(-1))

    def help_with(self, codes: Integer[Tensor, "tail digits"] | None, clusterings: int) -> None:
        """From now on add to each block a row of the second tables, which start at 0, by other codes.

        Args:
            codes: of the second tables; None uses them no more.
            clusterings: how often codes were found anew.
        """
        assert self.helpers is not None, "add_helpers comes first"
        with torch.no_grad():
            self.helpers.zero_()
        if codes is not None:
            self.helper_codes.copy_(codes)
        self.helps.fill_(codes is not None)
        self.clusterings.fill_(clusterings)
        self._helping = self._clusterings = None

    @property
    def num_clusterings(self) -> int:
        """How often codes were found anew; -1 before the first codes were assigned."""
        if self._clusterings is None:
            self._clusterings = int(self.clusterings) if self.helpers is not None else 0
        return self._clusterings

    @property
    def tables_of_codes(self) -> tuple[nn.Parameter, ...]:
        """The parameters that codes address."""
        return (self.matrix,) if self.helpers is None else (self.matrix, self.helpers)

    def rows(self, ids: Int[Tensor, " rows"]) -> Float[Tensor, "rows dim"]:
        """The composed vectors of `ids`."""
        places = self.places[ids].long()
        tail = places - self.own_rows
        offsets = torch.arange(self.num_tables, device=ids.device) * self.base
        tail_codes = tail.clamp_min(0)
        blocks = F.embedding(self.codes[tail_codes].long() + offsets, self.matrix)
        if self.helpers is not None:
            # added even where it is 0 for good: processes that train together wait for its gradient
            helping = F.embedding(self.helper_codes[tail_codes].long() + offsets, self.helpers)
            blocks = blocks + helping * self.helps
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
        tail, own = self._softmax(hidden, bias)
        places = self.places[targets].long()
        normaliser, chosen = tail.log_sum_and_score((places - self.own_rows).clamp_min(0))
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
            tail, own = self._softmax(hidden, bias)
        values, places = tail.topk(min(k, len(self.codes)))
        places = places + self.own_rows
        if own is not None:
            best = own.topk(min(k, self.own_rows))
            values, places = torch.cat([best.values, values], 1), torch.cat([best.indices, places], 1)
        values, chosen = values.topk(k)
        return values, self._ids[places.gather(1, chosen)]

    def ranks(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, " rows"],
        bias: Float[Tensor, " vocab"] | None = None,
    ) -> Int[Tensor, " rows"]:
        """How many tokens score at least as high as each target, itself included."""
        with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
            tail, own = self._softmax(hidden, bias)
        return tail.ranks(self.places[targets].long(), own)

    def sample(
        self,
        hidden: Float[Tensor, "rows dim"],
        bias: Float[Tensor, " vocab"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, " rows"]:
        """One id a row, drawn from `softmax(W h + b)`: an own row or the tables, then a token of the tables."""
        with torch.autocast(hidden.device.type, enabled=False):
            tail, own = self._softmax(hidden, bias)
        places = tail.sample(generator) + self.own_rows
        if own is not None:
            choice = draw(torch.cat([own, tail.log_sum()[:, None]], 1), generator)
            places = torch.where(choice < self.own_rows, choice, places)
        return self._ids[places]

    def _softmax(self, hidden: Tensor, bias: Tensor | None) -> tuple[DigitSoftmax, Tensor | None]:
        """The softmax over the tokens of the tables, and the scores of the own rows (N, R), in at least float32."""
        dtype = torch.promote_types(torch.promote_types(hidden.dtype, self.matrix.dtype), torch.float32)
        wide = hidden.to(dtype)
        blocks = wide.unflatten(1, (self.num_tables, -1)).transpose(0, 1)
        tables = self.matrix.to(dtype).view(self.num_tables, self.base, -1)
        scores, codes = torch.bmm(blocks, tables.transpose(1, 2)), self.codes
        if self.is_helping:
            assert self.helpers is not None
            others = self.helpers.to(dtype).view(self.num_tables, self.base, -1)
            scores = torch.cat([scores, torch.bmm(blocks, others.transpose(1, 2))])
            codes = torch.cat([codes, self.helper_codes], 1)
        by_place = None
        if bias is not None:
            by_place = torch.empty_like(bias, dtype=dtype).index_put((self.places.long(),), bias.to(dtype))
        tail_bias = None if by_place is None else by_place[self.own_rows :]
        tail = DigitSoftmax(scores, codes, tail_bias, self._spells_all and not self.is_helping)
        if self.own is None:
            return tail, None
        own = wide @ self.own.matrix.to(dtype).T
        return tail, own if by_place is None else own + by_place[: self.own_rows]

    @property
    def is_helping(self) -> bool:
        """Whether the second tables are in use."""
        if self._helping is None:
            self._helping = self.helpers is not None and bool(self.helps)
        return self._helping

    @property
    def _spells_all(self) -> bool:
        """Whether the codes spell the numbers 0 to V - R - 1, in any order."""
        if self._spells is None:
            # numbers of more than 63 bits are far more than there are tokens
            fits = self.base**self.num_tables < 1 << 62
            self._spells = fits and int(numbers_of(self.codes, self.base).max()) == len(self.codes) - 1
        return self._spells

    @property
    def _ids(self) -> Tensor:
        """Token id at each place: (V,)."""
        ids = torch.empty_like(self.places, dtype=torch.int64)
        ids[self.places.long()] = torch.arange(self.num_rows, device=ids.device)
        return ids

    def _load_from_state_dict(self, *arguments: object, **named: object) -> None:
        self._spells = self._helping = self._clusterings = None
        super()._load_from_state_dict(*arguments, **named)
