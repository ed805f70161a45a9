"""What mining and filtering need of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Role = Literal["query", "document"]


@runtime_checkable
class Teacher(Protocol):
    """Gives texts vectors, and two vectors a score; the same each time."""

    @property
    def name(self) -> str:
        """What records call it."""

    @property
    def revision(self) -> str:
        """A hash of all that decides its vectors."""

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Vectors of texts that stand on one side of a search: (texts, dim)."""

    def scores(self, queries: Vectors, documents: Vectors) -> Vectors:
        """Score of each query with each document, the higher the better: (queries, documents)."""

    def scores_of_pairs(self, queries: Vectors, documents: Vectors) -> Vectors:
        """Score of query i with document i: (pairs,)."""
