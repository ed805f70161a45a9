"""How the vectors of tokens depend on how frequent the tokens are. Tokens that never occur have no part in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.geometry.norms import Rows
from bench.geometry.undefined import UndefinedError

Values = NDArray[np.float64]
Counts = NDArray[np.int64]

DECILES = 10


def log_count_pearson(values: Values, counts: Counts) -> float:
    """Pearson correlation of `values` with `log(counts)`, over tokens with a count above 0.

    Args:
        values: one a token, such as its norm: (V,).
        counts: of the tokens: (V,).

    Raises:
        UndefinedError: if fewer than two tokens occur, or one side is constant.
    """
    seen, logs = _seen(values, counts)
    return float(stats.pearsonr(seen, logs).statistic)


def log_count_spearman(values: Values, counts: Counts) -> float:
    """Spearman correlation of `values` with `counts`, over tokens with a count above 0.

    Args:
        values: one a token, such as its norm: (V,).
        counts: of the tokens: (V,).

    Raises:
        UndefinedError: if fewer than two tokens occur, or one side is constant.
    """
    seen, logs = _seen(values, counts)
    return float(stats.spearmanr(seen, logs).statistic)


def projections_on_mean(rows: Rows) -> Values:
    """`e_i . mu` of each row with the mean of all: (V,)."""
    projected: Values = rows @ rows.mean(axis=0)
    return projected


def means_by_decile(values: Values, counts: Counts) -> Values:
    """Mean of `values` over each tenth of the tokens that occur, the rarest first: (10,).

    The tenths are of equal size to within one token; tokens of equal count stand in the order of their ids.

    Args:
        values: one a token, such as its norm: (V,).
        counts: of the tokens: (V,).

    Raises:
        UndefinedError: if fewer than ten tokens occur.
    """
    occurring = np.flatnonzero(counts > 0)
    if len(occurring) < DECILES:
        raise UndefinedError(f"{len(occurring)} tokens occur in the training texts: too few for deciles")
    order = occurring[np.argsort(counts[occurring], kind="stable")]
    return np.array([values[part].mean() for part in np.array_split(order, DECILES)])


def _seen(values: Values, counts: Counts) -> tuple[Values, Values]:
    occurring = counts > 0
    seen, logs = values[occurring], np.log(counts[occurring])
    if len(seen) < 2:
        raise UndefinedError("fewer than two tokens occur in the training texts")
    for name, side in (("values", seen), ("counts", logs)):
        if np.ptp(side) <= 1e-12 * np.abs(side).max():
            raise UndefinedError(f"all {name} are equal, so that nothing correlates with them")
    return seen, logs
