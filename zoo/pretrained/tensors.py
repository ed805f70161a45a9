"""The tensors of an encoder, each of which has one place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

# of a model with a head, whatever it is called; nothing of it is needed for hidden vectors
_UNUSED = re.compile(r"pooler\.|embeddings\.(position_ids|token_type_ids)$")


class Tensors:
    """Tensors by the names that the encoder itself has for them; what lies outside it is a head and left out.

    Args:
        tensors: of a file.
        prefixes: how an encoder is named in a model that has a head.
    """

    def __init__(self, tensors: Mapping[str, Tensor], prefixes: Sequence[str]) -> None:
        prefix = next((p for p in prefixes if any(name.startswith(p) for name in tensors)), "")
        inner = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        self._left = {_modern(name): tensor for name, tensor in inner.items() if not _UNUSED.match(name)}

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str) -> Tensor:
        """The tensor of this name, which is not left then.

        Raises:
            ValueError: if it is missing.
        """
        if name not in self._left:
            raise ValueError(f"tensor {name} is missing")
        return self._left.pop(name)

    def take_modules(self, ours: str, theirs: Sequence[str], bias: bool) -> dict[str, Tensor]:
        """Weight, and bias if `bias`, of the modules `theirs` one below the other, as those of our module `ours`.

        Raises:
            ValueError: if one is missing.
        """
        kinds = ("weight", "bias") if bias else ("weight",)
        return {f"{ours}.{kind}": torch.cat([self.take(f"{name}.{kind}") for name in theirs]) for kind in kinds}

    def check_empty(self) -> None:
        """Refuse what is left.

        Raises:
            ValueError: if something is.
        """
        if self._left:
            raise ValueError(f"tensor {min(self._left)} has no place in a model of this config.json")


def _modern(name: str) -> str:
    """Weights that came from TensorFlow call the two vectors of a norm gamma and beta."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
