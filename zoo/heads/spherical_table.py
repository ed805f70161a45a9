"""What a head with a spherical loss asks of an output table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from jaxtyping import Float, Int
from torch import Tensor

from zoo.contracts import OutputTable
from zoo.heads.sparse_target import Outputs, SphericalLoss
from zoo.layers.score_blocks import Blocks


class SphericalTable(OutputTable):
    """An output table that knows `|W h|^2` and the sum of `W h` without its V rows."""

    @abstractmethod
    def outputs(self, hidden: Float[Tensor, "rows dim"], targets: Int[Tensor, "rows k"]) -> Outputs:
        """What the loss sees of `W h + b`, in at least float32."""

    @abstractmethod
    def mean_loss(
        self,
        hidden: Float[Tensor, "rows dim"],
        targets: Int[Tensor, "rows k"],
        values: Float[Tensor, "rows k"],
        loss: SphericalLoss,
    ) -> Float[Tensor, ""]:
        """The loss, with whatever its gradient needs.

        Raises:
            ValueError: if the table's type is too coarse for it.
        """

    @abstractmethod
    def score_blocks(self, hidden: Float[Tensor, "rows dim"]) -> Blocks:
        """Scores `W h + b`, a block of classes at a time, without a gradient."""

    @property
    @abstractmethod
    def diagnostics(self) -> Mapping[str, Tensor]:
        """Scalars by name that are logged."""
