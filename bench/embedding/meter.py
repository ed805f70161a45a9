"""What a model has been given to do, and how long it took."""

from __future__ import annotations

import time


class Meter:
    """Seconds spent in a model, texts given to it, and texts that it had to compute; they only grow.

    Example:
        >>> meter = Meter()
        >>> with meter:
        ...     meter.texts += 2
        >>> meter.texts, meter.texts_encoded, meter.seconds > 0
        (2, 0, True)
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.texts = 0
        self.texts_encoded = 0
        self._started = 0.0

    def __enter__(self) -> Meter:
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started
