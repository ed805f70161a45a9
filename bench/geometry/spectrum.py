"""Over how many directions the vectors spread, by the singular values of the matrix of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from bench.geometry.norms import Rows
from bench.geometry.undefined import UndefinedError

Values = NDArray[np.float64]

# Of the norm of the rows: what rounding leaves of a direction that is empty.
_ROUNDING = 1e-13


def singular_values(rows: Rows, *, centred: bool = False) -> Values:
    """Singular values of the rows, descending, those of empty directions exactly 0: (min(n, H),).

    Args:
        rows: (n, H).
        centred: subtract the mean of the rows first.
    """
    values: Values = linalg.svdvals(rows - rows.mean(axis=0) if centred else rows)
    values[values <= _ROUNDING * np.linalg.norm(rows)] = 0.0
    return values


def inverse_condition_percent(values: Values) -> float:
    """`100 s_min / s_max`: 100 if all directions are equally strong, 0 if one is empty.

    A mean inflates `s_max` alone: its square is at least n ||mu||^2. Hence there is a centred version beside it.

    Args:
        values: singular values.

    Raises:
        UndefinedError: if all are zero.
    """
    _require_some(values)
    return float(100 * values.min() / values.max())


def effective_rank(values: Values) -> float:
    """`exp(-sum_k p_k log p_k)` with `p_k = s_k / sum_j s_j`: between 1 and the number of values.

    Args:
        values: singular values.

    Raises:
        UndefinedError: if all are zero.

    References:
        O. Roy and M. Vetterli, The Effective Rank, EUSIPCO 2007, definition 1.

    >>> round(effective_rank(np.array([2.0, 2.0, 2.0, 0.0])), 9)
    3.0
    """
    _require_some(values)
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def iso_score(centred_values: Values, width: int) -> float:
    """`((sum_k v_k)^2 / sum_k v_k^2 - 1) / (H - 1)` of the variances v_k along the H principal components.

    This is what the eight steps of the paper come to: the isotropy defect of the normalised variances, mapped to the
    share of dimensions that are used. 0 if all variance lies along one direction, 1 if it is equal along all, and
    `(k - 1) / (H - 1)` if it is equal along k of them. Neither the mean nor the scale matters.

    Args:
        centred_values: singular values of n vectors after centring; `v_k` is their square over n - 1.
        width: H.

    Raises:
        UndefinedError: if H is 1, or all vectors are equal.

    References:
        W. Rudman, N. Gillman, T. Rayne and C. Eickhoff, IsoScore: Measuring the Uniformity of Embedding Space
        Utilization, arXiv:2108.07344, algorithm 1 and section 3.
    """
    if width == 1:
        raise UndefinedError("IsoScore compares directions, and the vectors have one")
    _require_some(centred_values)
    variances = (centred_values / centred_values.max()) ** 2
    used = variances.sum() ** 2 / (variances**2).sum()
    return float((used - 1) / (width - 1))


def _require_some(values: Values) -> None:
    if values.max() == 0:
        raise UndefinedError("all vectors are zero, or, where the mean is taken off, equal")
