"""The only way from texts to vectors."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from bench.embedding.compute import Computation
from bench.embedding.meter import Meter
from bench.embedding.plan import Distinct, Window, distinct, windows
from bench.embedding.shard_folder import ShardFolder
from bench.embedding.shards import Shard, ShardName, Shards
from bench.parallel import ALONE, Workers, check_shared
from bench.protocols import Encoder, Role, Route

# A network disk may show a file of another machine this much later.
_PATIENCE_SECONDS = 60.0


class Embedder:
    """Encodes each distinct text of a model once, over all tasks and runs.

    The texts of one call are cut into windows that depend on nothing but the texts, and processes take turns at the
    windows. A vector therefore has the same bits for any number of processes, and after a run that was killed. (With
    another number of threads, or where a batch did not fit into the memory, the last bits may differ.)

    Args:
        encoder: the model.
        cache: folder that vectors are kept in, at `embeddings/<revision>/<route>`; None keeps them in this object.
        workers: processes that compute together; each of them must make the same calls.

    Raises:
        ValueError: if several processes have no folder in common.
    """

    def __init__(self, encoder: Encoder, cache: Path | None = None, workers: Workers = ALONE) -> None:
        self._encoder = encoder
        self._workers = workers
        self.info = encoder.describe()
        self.meter = Meter()
        assert self.info.dim is not None, "an encoder knows its dim"
        self._dim = self.info.dim
        self._root = None if cache is None else cache / "embeddings" / self.info.revision
        self._shards: dict[Route, Shards] = {}
        if workers.world_size > 1:
            if self._root is None:
                raise ValueError(
                    "several processes exchange vectors through a cache folder: name one, or use one process"
                )
            check_shared(workers, self._root)

    def encode(
        self, texts: Sequence[str], *, prompt: str | None = None, role: Role | None = None, progress: bool = False
    ) -> NDArray[np.float32]:
        """Vectors of `texts`.

        Args:
            texts: any number of texts.
            prompt: put before each text; None leaves the choice to the model.
            role: side of a search that the texts stand on, for models that treat the two sides differently.
            progress: whether to draw a progress bar.

        Returns:
            Array of shape (len(texts), dim).

        Raises:
            ValueError: if the model gives vectors that are not finite or of the wrong shape.
            OSError: if the cache cannot be written.
        """
        with self.meter:
            self.meter.texts += len(texts)
            route = self._encoder.route(prompt, role)
            found = distinct(texts)
            shards = self._open(route)
            self._compute(found, route, shards, progress)
            vectors = self._collect(found, shards)
        return vectors if len(found.texts) == len(texts) else vectors[found.inverse]

    def similarity(self, left: Any, right: Any) -> Any:
        """Score of each row of `left` with each row of `right`: (n, m)."""
        return self._encoder.similarity(left, right)

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        """Score of row i of `left` with row i of `right`: (n,)."""
        return self._encoder.similarity_pairwise(left, right)

    def _open(self, route: Route) -> Shards:
        if route not in self._shards:
            if self._root is None:
                self._shards[route] = Shards(self._dim)
            else:
                name = hashlib.blake2b(f"{route.role}\n{route.prompt}".encode(), digest_size=8).hexdigest()
                self._shards[route] = ShardFolder(self._root / name, self._dim)
        return self._shards[route]

    def _compute(self, found: Distinct, route: Route, shards: Shards, progress: bool) -> None:
        job = hashlib.blake2b(np.sort(found.keys).tobytes(), digest_size=8).hexdigest()
        shards.refresh()
        # what process 0 sees decides: another run may be writing at this moment
        missing = self._workers.broadcast(_missing(found, job, shards))
        failure: Exception | None = None
        mine = missing[self._workers.rank :: self._workers.world_size]
        try:
            texts = [[found.texts[place] for place in window.places] for window in mine]
            computation = Computation(self._encoder, route, self._dim)
            with tqdm(total=sum(map(len, texts)), desc="encoding", unit="text", disable=not progress) as bar:
                for window, vectors in zip(mine, computation.run(texts), strict=True):
                    shards.add(ShardName(job, window.name), Shard(found.keys[window.places], vectors))
                    bar.update(len(vectors))
        except Exception as error:
            failure = error
        self._workers.agree(failure)
        self.meter.texts_encoded += sum(len(window.places) for window in missing)

    def _collect(self, found: Distinct, shards: Shards) -> NDArray[np.float32]:
        vectors = np.empty((len(found.texts), self._dim), dtype=np.float32)
        deadline = time.monotonic() + (_PATIENCE_SECONDS if self._workers.world_size > 1 else 0)
        while True:
            shards.refresh()
            if shards.fetch(found.keys, vectors).all():
                return vectors
            if time.monotonic() > deadline:
                raise OSError(f"vectors vanished from {self._root} while they were in use: run again")
            time.sleep(0.5)


def _missing(found: Distinct, job: str, shards: Shards) -> list[Window]:
    """Windows that are to be computed: all that the job has, without the ones that an earlier try has left."""
    planned = windows(found, shards.known(found.keys, besides=job))
    done = shards.windows(job)
    if not done <= {window.name for window in planned}:
        # other jobs have met some of the texts since, so its old windows cannot be continued: what they hold is known
        return windows(found, shards.known(found.keys, besides=None))
    return [window for window in planned if window.name not in done]
