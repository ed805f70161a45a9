"""Whether a few vectors are among the nearest neighbours of many others.

References:
    M. Radovanovic, A. Nanopoulos and M. Ivanovic, Hubs in Space: Popular Nearest Neighbors in High-Dimensional Data,
    JMLR 11, 2010, section 2.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.geometry.norms import Rows, unit
from bench.geometry.undefined import UndefinedError

NEIGHBOURS = 10
_BLOCK_ROWS = 512


def k_occurrences(rows: Rows, k: int = NEIGHBOURS) -> NDArray[np.int64]:
    """`N_k(i)`: how many of the other vectors have vector i among their k nearest by cosine: (n,).

    Exact, in blocks of rows. Of vectors that are equally near, the first ones count.

    Args:
        rows: (n, H).
        k: neighbours of each vector.

    Raises:
        UndefinedError: if there are no k others, or a vector is zero.
    """
    count = len(rows)
    if count <= k:
        raise UndefinedError(f"{count} vectors have no {k} neighbours each")
    points = unit(rows)
    found = np.zeros(count, dtype=np.int64)
    for start in range(0, count, _BLOCK_ROWS):
        distances = -(points[start : start + _BLOCK_ROWS] @ points.T)
        own = np.arange(len(distances))
        distances[own, start + own] = np.inf
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
        found += np.bincount(nearest.ravel(), minlength=count)
    return found


def hubness_skew(rows: Rows, k: int = NEIGHBOURS) -> float:
    """`E[(N_k - m)^3] / s^3` with mean m and deviation s of `k_occurrences`: about 0 without hubs, more with them.

    Args:
        rows: (n, H).
        k: neighbours of each vector.

    Raises:
        UndefinedError: if there are no k others, a vector is zero, or every `N_k` is the same.
    """
    occurrences = k_occurrences(rows, k)
    if np.ptp(occurrences) == 0:
        raise UndefinedError("every vector is a neighbour equally often, so that there is no skew")
    return float(stats.skew(occurrences))
