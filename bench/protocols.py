"""What a model must offer to be scored, and what a task must offer to be run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from bench.records import ModelInfo, Scores, TaskInfo

if TYPE_CHECKING:  # so that the command line starts without numpy
    import numpy as np
    from numpy.typing import NDArray

Role = Literal["query", "document"]


class NotApplicableError(Exception):
    """A model cannot do a task, or a task has no meaning on this data; nothing failed and nothing is scored."""


class Encoder(Protocol):
    """Turns texts into vectors."""

    def describe(self) -> ModelInfo:
        """What is being scored."""

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
        """

    def similarity(self, left: Any, right: Any) -> Any:
        """Score of each row of `left` with each row of `right`: (n, m)."""

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        """Score of row i of `left` with row i of `right`: (n,)."""


class Searcher(Protocol):
    """Ranks documents for queries without vectors."""

    def describe(self) -> ModelInfo:
        """What is being scored."""

    def index(self, documents: Sequence[str]) -> None:
        """Prepare `documents` for `search`."""

    def search(self, query: str) -> NDArray[np.float32]:
        """Score of every indexed document for `query`: (documents,)."""


class LanguageModelScore(Protocol):
    """Sums over a whole split.

    `nats` is the summed negative log-likelihood of `tokens` scored tokens, which spell `bytes` bytes of UTF-8.
    """

    @property
    def nats(self) -> float:
        """Summed negative log-likelihood."""

    @property
    def tokens(self) -> int:
        """Number of scored tokens."""

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the scored text."""

    @property
    def kind(self) -> Literal["causal", "masked"]:
        """Whether each token saw only what stands before it, or all other tokens."""


class LanguageModel(Protocol):
    """Gives texts a probability."""

    def describe(self) -> ModelInfo:
        """What is being scored."""

    def score(self, texts: Sequence[str], *, stream: bool, progress: bool = False) -> LanguageModelScore:
        """Likelihood of `texts`, as one running text if `stream`, else each on its own."""


class Model(Protocol):
    """An opened model, by what it can do; None where it cannot."""

    @property
    def encoder(self) -> Encoder | None:
        """It as an encoder of texts."""

    @property
    def searcher(self) -> Searcher | None:
        """It as a search engine without vectors."""

    @property
    def language_model(self) -> LanguageModel | None:
        """It as a language model."""


@dataclass(frozen=True)
class Outcome:
    """What a task found.

    Args:
        task: the task, with the metric that was used.
        scores: its numbers.
        encode_seconds: wall time spent inside the model.
        texts_encoded: texts given to the model.
    """

    task: TaskInfo
    scores: Scores
    encode_seconds: float
    texts_encoded: int


class Task(Protocol):
    """Something that gives a model a score."""

    @property
    def info(self) -> TaskInfo:
        """Name, data and metric; known before anything is scored."""

    def describe(self, model: Model) -> ModelInfo:
        """The side of `model` that this task scores.

        Raises:
            NotApplicableError: if it has none that fits.
        """

    def score(self, model: Model, *, progress: bool) -> Outcome:
        """Score `model`.

        Raises:
            NotApplicableError: if the model or the data do not fit the task.
        """
