"""How vectors lie on the unit sphere: pairs that belong together, and all of them.

References:
    T. Wang and P. Isola, Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere, arXiv:2005.10242, section 4.1.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp

from bench.geometry.norms import Rows, norms, unit
from bench.geometry.undefined import UndefinedError

_BLOCK_ROWS = 512


def alignment(left: Rows, right: Rows) -> float:
    """`(1/n) sum_i ||u_i - w_i||^2` of unit vectors: 0 if each pair is one point, at most 4; less is better.

    The published loss with its exponent 2.

    Args:
        left: one side of each pair: (n, H).
        right: the other side: (n, H).

    Raises:
        UndefinedError: if there is no pair, or a vector is zero.
    """
    if len(left) == 0:
        raise UndefinedError("there are no pairs")
    return float((norms(unit(left) - unit(right)) ** 2).mean())


def uniformity(rows: Rows) -> float:
    """`log mean_{i<j} exp(-2 ||u_i - u_j||^2)` of unit vectors: 0 if all are one point, at least -8; less is better.

    The published loss with its t = 2. Uniform vectors in many dimensions are at right angles, which gives about -4.

    Args:
        rows: (n, H).

    Raises:
        UndefinedError: if there are fewer than two vectors, or one is zero.
    """
    count = len(rows)
    if count < 2:
        raise UndefinedError("fewer than two vectors")
    points = unit(rows)
    sums = []
    for start in range(0, count - 1, _BLOCK_ROWS):
        block = points[start : start + _BLOCK_ROWS]
        exponents = 4 * (block @ points[start:].T) - 4
        sums.append(logsumexp(exponents[np.triu_indices_from(exponents, k=1)]))
    return float(logsumexp(sums)) - math.log(count * (count - 1) / 2)
