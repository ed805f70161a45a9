"""The body: from vectors of tokens to hidden vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from zoo.contracts.batches import Layout


@dataclass(frozen=True)
class EncoderOutput:
    """What an encoder returns.

    Args:
        hidden: one vector a token.
        aux_losses: scalars by name that the objective adds to its loss as they are (already weighted).
        diagnostics: scalars by name that are only logged.
    """

    hidden: Float[Tensor, "tokens dim"]
    aux_losses: Mapping[str, Tensor] = field(default_factory=dict)
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)


class Encoder(nn.Module, ABC):
    """The body: mixes the vectors of each sequence. Built by an objective as `factory(width)`.

    In training `forward` may be called twice for the same texts, the first time without gradients (GradCache): what
    it counts, it must count with gradients only, and what it counted must not change what it gives before the step.

    Attributes:
        layers: the layers, first to last, where there is such a list.
        input_parts: names of the submodules before the first layer; layer-wise learning rates read both.
    """

    input_parts: ClassVar[tuple[str, ...]] = ()
    width: int

    def before_step(self, step: int) -> None:
        """Told before each training batch; several batches can belong to one step.

        Args:
            step: optimizer steps done.
        """

    def state_from(self, state: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], Collection[str]]:
        """What this encoder starts with, given the state of a trained one, and the names of what starts anew.

        Args:
            state: of an encoder of this class, or of another from which this one can start.

        Raises:
            ValueError: if it could start from such a state with other options only.
        """
        return state, ()

    @abstractmethod
    def forward(self, x: Float[Tensor, "tokens dim"], layout: Layout) -> EncoderOutput:
        """Hidden vectors of a packed batch."""
