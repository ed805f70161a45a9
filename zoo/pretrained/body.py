"""What a family of encoders gives to the reader."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zoo.contracts import JsonDict


@dataclass(frozen=True)
class Body:
    """An encoder and its token vectors, without a tokenizer.

    Args:
        encoder: class_path and init_args.
        state: weights of the encoder by their names in it.
        rows: one vector a token, (rows of the file, D).
        max_length: places that it has.
    """

    encoder: JsonDict
    state: dict[str, Tensor]
    rows: Tensor
    max_length: int
