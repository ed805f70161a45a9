"""Bytes of a model, by part; the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from bench.efficiency.measured import Measured
from bench.protocols import Encoder, NotApplicableError
from bench.records import Scores

PARTS = ("embedding", "encoder", "head", "rest")


@runtime_checkable
class Sized(Protocol):
    """An encoder that knows where its bytes are."""

    def bytes_by_part(self) -> Mapping[str, int]:
        """Bytes of parameters and buffers by part, each tensor once: exactly the keys of `PARTS`."""


def measure(encoder: Encoder, texts: Sequence[str], device: str) -> Measured:
    """Bytes of parameters and buffers, in all and by part; nothing is encoded.

    Args:
        encoder: the model.
        texts: not used.
        device: not used.

    Returns:
        `model_mb` (the main score, in units of 1,000,000 bytes), and `bytes` by part where the model tells.

    Raises:
        NotApplicableError: if the size of the model is unknown.
    """
    if isinstance(encoder, Sized):
        parts = encoder.bytes_by_part()
        if set(parts) != set(PARTS):
            raise ValueError(f"bytes_by_part must have the keys {', '.join(PARTS)}, got {', '.join(parts)}")
        total = sum(parts.values())
        scores = {"model_mb": total / 1e6, "bytes": total} | {f"{part}_bytes": parts[part] for part in PARTS}
        return Measured(Scores(scores["model_mb"], scores))
    size = encoder.describe().bytes
    if size is None:
        raise NotApplicableError("the model does not say how many bytes it has")
    reason = "the model does not say which bytes belong to which part"
    absent = {f"{part}_bytes": reason for part in PARTS}
    return Measured(Scores(size / 1e6, {"model_mb": size / 1e6, "bytes": size}, absent=absent))
