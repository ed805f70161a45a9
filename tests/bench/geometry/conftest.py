from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Rows = NDArray[np.float64]


@pytest.fixture(scope="session")
def gaussian() -> Callable[..., Rows]:
    """`gaussian(count, width, seed=0)`: round cloud around zero, each number of variance 1."""
    return lambda count, width, seed=0: np.random.default_rng(seed).normal(size=(count, width))


@pytest.fixture(scope="session")
def generic(gaussian: Callable[..., Rows]) -> Rows:
    """300 rows of width 7 with a mean, and with different variances along skewed axes."""
    mixed = gaussian(300, 7) @ (np.diag([3.0, 2.0, 1.5, 1.0, 0.7, 0.5, 0.2]) @ gaussian(7, 7, seed=1))
    return 0.1 * (mixed + np.linspace(-1, 2, 7))


@pytest.fixture(scope="session")
def rotation(gaussian: Callable[..., Rows]) -> Rows:
    """An orthogonal matrix of width 7."""
    matrix: Rows = np.linalg.qr(gaussian(7, 7, seed=2))[0]
    return matrix


@pytest.fixture(scope="session")
def crosses() -> Rows:
    """Rows +-a_k e_k of width 4, each length another one."""
    axes = np.diag([1.0, 2.0, 3.0, 4.0])
    return np.concatenate([axes, -axes])
