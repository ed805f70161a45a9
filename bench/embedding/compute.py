"""Vectors of windows: one is tokenized while the one before it is being computed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from bench.embedding.plan import batches
from bench.protocols import Encoder, Route, Tokens

_SHOWN = 60

_log = logging.getLogger(__name__)


class Computation:
    """Runs an encoder over windows of texts.

    Args:
        encoder: the model.
        route: of all texts.
        dim: of a vector.
    """

    def __init__(self, encoder: Encoder, route: Route, dim: int) -> None:
        self._encoder = encoder
        self._route = route
        self._dim = dim
        # parts that a batch is cut into; doubled for good whenever one did not fit into the memory
        self._pieces = 1

    def run(self, windows: Sequence[Sequence[str]]) -> Iterator[NDArray[np.float32]]:
        """Vectors (texts, dim) of each window, in turn.

        Raises:
            ValueError: if vectors are of the wrong shape or not finite, or one text alone does not fit into the memory.
        """
        with ThreadPoolExecutor(max_workers=1) as tokenizing, _streams(self._encoder.streams) as computing:
            coming: Future[list[Tokens]] | None = None
            for number, texts in enumerate(windows):
                tokens = coming.result() if coming else self._encoder.tokenize(texts, self._route)
                if number + 1 < len(windows):
                    coming = tokenizing.submit(self._encoder.tokenize, windows[number + 1], self._route)
                yield self._window(texts, tokens, computing)

    def _window(self, texts: Sequence[str], tokens: Sequence[Tokens], computing: Executor) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self._dim), dtype=np.float32)
        plan = list(batches([len(ids) for ids in tokens], self._encoder.batch_tokens))
        parts = computing.map(self._batch, ([tokens[place] for place in places] for places in plan))
        for places, part in zip(plan, parts, strict=True):
            vectors[places] = part
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            text = texts[int(np.argmin(finite))]
            raise ValueError(f"the model gave a vector that is not finite for the text {text[:_SHOWN]!r}")
        return vectors

    def _batch(self, batch: Sequence[Tokens]) -> NDArray[np.float32]:
        while True:
            pieces = min(self._pieces, len(batch))
            try:
                return self._pieced(batch, -(-len(batch) // pieces))
            except Exception as error:
                if not out_of_memory(error):
                    raise
                if pieces == len(batch):
                    raise ValueError(
                        f"a text of {len(batch[0])} tokens alone does not fit into the memory: "
                        "use a larger device or a lower precision"
                    ) from error
            # outside of the handler, whose traceback would keep the tensors of the failed batch alive
            _log.warning("out of memory with %d texts in %d pieces: going on with twice as many", len(batch), pieces)
            self._pieces = max(self._pieces, 2 * pieces)
            _free()

    def _pieced(self, batch: Sequence[Tokens], size: int) -> NDArray[np.float32]:
        parts = [self._encoder.embed(batch[i : i + size], self._route) for i in range(0, len(batch), size)]
        vectors = np.concatenate(parts)
        expected = (len(batch), self._dim)
        if vectors.shape != expected:
            raise ValueError(f"the model gave vectors of shape {vectors.shape} for {len(batch)} texts, not {expected}")
        return vectors


@contextmanager
def _streams(count: int) -> Iterator[Executor]:
    """Threads that share the cores: two batches side by side are faster than two cores on one small product."""
    import torch

    cores = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(max(1, cores // count),)) as pool:
            yield pool
    finally:
        torch.set_num_threads(cores)


def out_of_memory(error: Exception) -> bool:
    """Whether a device or the machine had no memory left; on a CPU that is told by the message alone."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)
    )


def _free() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
