"""What a model must offer to be scored, and what a task must offer to be run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from bench.records import ModelInfo, Scores, TaskInfo

if TYPE_CHECKING:  # so that the command line starts without numpy
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bench.embedding import Embedder
    from bench.examples import Examples
    from bench.parallel import Workers

Role = Literal["query", "document"]
Side = Literal["input", "output"]


class NotApplicableError(Exception):
    """A model cannot do a task, or a task has no meaning on this data; nothing failed and nothing is scored."""


# What a text is to a model: its token ids, or the text itself for a model that reads no ids. Its length is its cost.
Tokens = Sequence[Any]


@dataclass(frozen=True)
class Route:
    """The way of a text through a model: equal texts on equal routes get equal vectors.

    Args:
        prompt: put before each text; empty for none.
        role: side of a search, None where the model treats both sides alike.
    """

    prompt: str
    role: Role | None


class Encoder(Protocol):
    """Turns texts into vectors, in two steps, so that one batch is tokenized while another one is computed."""

    @property
    def batch_tokens(self) -> int:
        """Tokens, padding included, that one call of `embed` should hold."""

    @property
    def streams(self) -> int:
        """Calls of `embed` that run side by side, in threads; one on an accelerator."""

    def describe(self) -> ModelInfo:
        """What is being scored; its `dim` is known."""

    def route(self, prompt: str | None, role: Role | None) -> Route:
        """What `prompt` and `role` mean to this model.

        Args:
            prompt: put before each text; None leaves the choice to the model.
            role: side of a search that the texts stand on, for models that treat the two sides differently.
        """

    def tokenize(self, texts: Sequence[str], route: Route) -> list[Tokens]:
        """Each text as the model will see it: prompt in front, special tokens added, too long ones cut."""

    def embed(self, batch: Sequence[Tokens], route: Route) -> NDArray[np.float32]:
        """Vectors of tokenized texts in one forward pass: (len(batch), dim)."""

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


class CrossEncoder(Protocol):
    """Reads a query and a document together."""

    def describe(self) -> ModelInfo:
        """What is being scored."""

    def score(self, pairs: Sequence[tuple[str, str]], *, progress: bool = False) -> NDArray[np.float32]:
        """Score of each (query, document): (pairs,)."""


class LanguageModelScore(Protocol):
    """Sums over a whole split, and over each of its windows.

    `nats` is the summed negative log-likelihood of `tokens` scored tokens, which spell `bytes` bytes of UTF-8.
    """

    @property
    def calibrated(self) -> bool:
        """Whether the model was trained by a loss that is no probability, and became one by a fitted sharpness."""

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
    def window_nats(self) -> NDArray[np.float64]:
        """Negative log-likelihood of each window."""

    @property
    def window_bytes(self) -> NDArray[np.int64]:
        """UTF-8 bytes of the scored tokens of each window."""

    @property
    def window_tokens(self) -> NDArray[np.int64]:
        """Number of scored tokens of each window."""

    @property
    def window_ranking(self) -> Mapping[str, NDArray[np.float64]]:
        """What each window adds to a mean over tokens, by its name, such as `error_at_1`."""


class LanguageModel(Protocol):
    """Gives texts a probability."""

    @property
    def kind(self) -> Literal["causal", "masked"]:
        """Whether each token is predicted from what stands before it, or from all others."""

    def describe(self) -> ModelInfo:
        """What is being scored."""

    def score(self, texts: Sequence[str], *, stream: bool, progress: bool = False) -> LanguageModelScore:
        """Likelihood of `texts`, as one running text if `stream`, else each on its own."""


class VocabularyTables(Protocol):
    """The vectors of single tokens, and which word is which token."""

    @property
    def tied(self) -> bool:
        """Whether both sides are one table."""

    @property
    def special_ids(self) -> Sequence[int]:
        """Ids of tokens that carry no text."""

    @property
    def token_counts(self) -> NDArray[np.int64] | None:
        """How often each token occurs in the training texts: (V,); None where that is unknown."""

    def describe(self) -> ModelInfo:
        """What is being scored."""

    def table(self, side: Side) -> NDArray[np.float64] | None:
        """One row a token: (V, H), without rows that only fill the table up; None where there is no such table.

        Args:
            side: `input` for what the network reads, `output` for what its hidden vectors are multiplied with.
        """

    def token_id(self, word: str, *, leading_space: bool) -> int | None:
        """The token that is the whole of `word`; None where it takes several, or an unknown one.

        Args:
            word: without spaces.
            leading_space: as the word stands within a text, behind a space; else as a text begins with it. To a
                byte-level tokenizer these are different tokens, to one of word pieces the same.
        """


class Model(Protocol):
    """An opened model, by what it can do; None where it cannot."""

    @property
    def encoder(self) -> Encoder | None:
        """It as an encoder of texts."""

    @property
    def searcher(self) -> Searcher | None:
        """It as a search engine without vectors."""

    @property
    def cross_encoder(self) -> CrossEncoder | None:
        """It as a judge of pairs of texts."""

    @property
    def language_model(self) -> LanguageModel | None:
        """It as a language model."""

    @property
    def vocabulary(self) -> VocabularyTables | None:
        """Its tables of tokens."""


@dataclass(frozen=True)
class Context:
    """What a task may use beside the model.

    Args:
        cache: root of the caches, where what a model has computed is kept; None keeps nothing.
        results: folder of the records, for what a task writes beside its record.
        workers: the processes that compute together.
        embedder: of the model's vectors, None if it has none; shared by all tasks, so that each text is encoded once.
        progress: whether to draw progress bars.
        faiss: whether documents are searched with faiss.
    """

    cache: Path | None
    results: Path
    workers: Workers
    embedder: Embedder | None
    progress: bool
    faiss: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a task found.

    Args:
        task: the task, with the metric that was used.
        scores: its numbers.
        encode_seconds: wall time spent inside the model.
        texts: texts given to the model.
        texts_encoded: those that it computed; the others were known.
        examples: the values of single examples, None where there are none to resample.
    """

    task: TaskInfo
    scores: Scores
    encode_seconds: float
    texts: int
    texts_encoded: int
    examples: Examples | None = None


class Task(Protocol):
    """Something that gives a model a score."""

    @property
    def info(self) -> TaskInfo:
        """Name, data and metric; the hash of the rows may be None until `prepare`."""

    def prepare(self) -> None:
        """Load the data, once; may be called ahead of time from another thread.

        Raises:
            ValueError: if the data is not what the task needs.
            NotApplicableError: if the task has no meaning on it.
        """

    def release(self) -> None:
        """Drop the data."""

    def describe(self, model: Model) -> ModelInfo:
        """The side of `model` that this task scores.

        Raises:
            NotApplicableError: if it has none that fits.
        """

    def score(self, model: Model, context: Context) -> Outcome:
        """Score `model`, after `prepare`.

        Raises:
            NotApplicableError: if the model or the data do not fit the task.
        """
