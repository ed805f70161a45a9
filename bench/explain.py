"""What a model does with a text: what is put before it, how it is cut into pieces, what is lost, what is pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.models.bm25 import BM25Model
from bench.models.cross_encoder import CrossEncoderModel
from bench.models.sentence_transformer import SentenceTransformerModel
from bench.models.zoo_run import ZooRun
from bench.protocols import Encoder, Model, Role, Route
from bench.records import ModelInfo

SHORT = "A horse crosses the river."
QUESTION = "How do vaccines protect against a disease that is still changing?"
_SENTENCE = "The same plain sentence stands here again and again. "


@dataclass(frozen=True)
class Reading:
    """One text on one way through a model.

    Args:
        text: as it was given.
        sides: what it stands for, such as `query` and `document`; the way is the same for all of them.
        prompt: put before it.
        pieces: what the model reads, special tokens included; None where only the model itself knows.
        lost: pieces that were cut off or dropped; None where only the model itself knows.
        pooled: what the result is made of.
        result: such as the norm of the vector.
    """

    text: str
    sides: tuple[str, ...]
    prompt: str
    pieces: tuple[str, ...] | None
    lost: int | None
    pooled: str
    result: str


@dataclass(frozen=True)
class Explanation:
    """What a model is and what it does with some texts.

    Args:
        info: the model.
        facts: more about it, by name.
        readings: of each text on each way.
    """

    info: ModelInfo
    facts: Mapping[str, str]
    readings: tuple[Reading, ...]


def explain(model: Model, texts: Sequence[str] | None = None, task: str | None = None) -> Explanation:
    """Follow texts through `model`.

    Args:
        model: an opened one.
        texts: None takes a short one, a question, and one that is longer than the model reads.
        task: mteb task whose prompts are used; None shows the prompts of a query and of a document.

    Raises:
        ValueError: if there is no such task, or nothing to read.
    """
    if texts is not None and not texts:
        raise ValueError("--texts: give at least one text, or leave it out")
    if isinstance(model, BM25Model):
        return _lexical(model, texts or _texts(None))
    if isinstance(model, CrossEncoderModel):
        return _pairs(model, texts)
    encoder = model.encoder
    if encoder is None:
        raise ValueError("this model reads no texts by itself, so there is nothing to explain")
    return _vectors(model, encoder, texts, task)


def _texts(max_length: int | None) -> list[str]:
    # A word is a token or more, so this is longer than the model reads.
    words = (max_length or 64) + 8
    repeated = _SENTENCE * (1 + words // len(_SENTENCE.split()))
    return [SHORT, QUESTION, repeated.strip()]


def _vectors(model: Model, encoder: Encoder, texts: Sequence[str] | None, task: str | None) -> Explanation:
    info, reader = encoder.describe(), _reader(model)
    ways: dict[Route, list[str]] = {}
    for side, prompt, role in _sides(info, task):
        ways.setdefault(encoder.route(prompt, role), []).append(side)
    readings = []
    for text in texts or _texts(info.max_length):
        for route, sides in ways.items():
            tokens = encoder.tokenize([text], route)[0]
            pieces = reader.pieces(tokens)
            whole = reader.length(route.prompt + text)
            vector = encoder.embed([tokens], route)[0]
            readings.append(
                Reading(
                    text=text,
                    sides=tuple(sides),
                    prompt=route.prompt,
                    pieces=pieces,
                    lost=None if pieces is None or whole is None else max(whole - len(pieces), 0),
                    pooled=reader.pooled(pieces, route.prompt),
                    result=f"{vector.shape[0]} numbers, norm {np.linalg.norm(vector):.3f}",
                )
            )
    return Explanation(info, reader.facts, tuple(readings))


def _sides(info: ModelInfo, task: str | None) -> list[tuple[str, str | None, Role | None]]:
    """Side, prompt and role, as the tasks of mteb ask for them."""
    prompts = dict(info.prompts)
    if task is None:
        return [
            ("text", None, None),
            ("query", prompts.get("query"), "query"),
            ("document", prompts.get("document"), "document"),
        ]
    import mteb
    from mteb.models.abs_encoder import get_prompt_name
    from mteb.types import PromptType

    try:
        metadata = mteb.get_task(task).metadata
    except KeyError as error:
        raise ValueError(f"--task {task}: {error.args[0]}") from error
    if metadata.simplified_task_type != "retrieval":
        return [(f"text of {task}", prompts.get(get_prompt_name(prompts, metadata, None)), None)]
    names = {kind: prompts.get(get_prompt_name(prompts, metadata, kind)) for kind in PromptType}
    return [(f"{kind.value} of {task}", prompt, kind.value) for kind, prompt in names.items()]


class _Unknown:
    """A model whose tokens and pooling cannot be seen from outside."""

    facts: Mapping[str, str] = {}

    def pieces(self, tokens: Sequence[Any]) -> tuple[str, ...] | None:
        return None

    def length(self, text: str) -> int | None:
        return None

    def pooled(self, pieces: Sequence[str] | None, prompt: str) -> str:
        return "by modules of its own"


class _SentenceTransformerReader(_Unknown):
    def __init__(self, model: SentenceTransformerModel) -> None:
        library = model.network
        self._tokenizer = library.tokenizer
        self._poolings = [module for module in library if hasattr(module, "pooling_mode")]
        modules = [type(module).__name__ for module in library]
        self.facts = {
            "modules": " -> ".join(modules),
            "similarity": str(library.similarity_fn_name),
            "normalised": "yes" if "Normalize" in modules else "no",
        }

    def pieces(self, tokens: Sequence[Any]) -> tuple[str, ...] | None:
        if isinstance(tokens, str):
            return None
        return tuple(str(piece) for piece in self._tokenizer.convert_ids_to_tokens(list(tokens)))

    def length(self, text: str) -> int | None:
        if not callable(self._tokenizer):
            return None
        return len(self._tokenizer(text, truncation=False, verbose=False)["input_ids"])

    def pooled(self, pieces: Sequence[str] | None, prompt: str) -> str:
        if len(self._poolings) != 1 or pieces is None:
            return super().pooled(pieces, prompt)
        mode = str(self._poolings[0].pooling_mode)
        if mode.startswith(("cls", "last")):
            return f"{mode}: {pieces[0] if mode.startswith('cls') else pieces[-1]}"
        without = prompt and not getattr(self._poolings[0], "include_prompt", True)
        return f"{mode} of {'the pieces after the prompt' if without else f'all {len(pieces)} pieces'}"


class _ZooReader(_Unknown):
    def __init__(self, model: ZooRun) -> None:
        self._tokenizer = model.objective.tokenizer
        self.facts = {"objective": type(model.objective).__name__, "similarity": "cosine", "normalised": "no"}

    def pieces(self, tokens: Sequence[Any]) -> tuple[str, ...] | None:
        return tuple(str(self._tokenizer.id_to_token(token)) for token in tokens)

    def length(self, text: str) -> int | None:
        return len(self._tokenizer.encode(text).ids)

    def pooled(self, pieces: Sequence[str] | None, prompt: str) -> str:
        return f"mean of all {len(pieces or ())} pieces"


def _reader(model: Model) -> _Unknown:
    if isinstance(model, SentenceTransformerModel):
        return _SentenceTransformerReader(model)
    return _ZooReader(model) if isinstance(model, ZooRun) else _Unknown()


def _pairs(model: CrossEncoderModel, texts: Sequence[str] | None) -> Explanation:
    """Each text as a document; the question, or the first of several texts, is the query."""
    info, library = model.describe(), model.library
    query, documents = (QUESTION, _texts(info.max_length)) if texts is None else (texts[0], texts[1:] or texts)
    readings = []
    for document in documents:
        whole = library.tokenizer(query, document, truncation=False, verbose=False)["input_ids"]
        cut = library.tokenizer(query, document, truncation=True, max_length=info.max_length)["input_ids"]
        readings.append(
            Reading(
                text=document,
                sides=(f"document for the query {query!r}",),
                prompt="",
                pieces=tuple(library.tokenizer.convert_ids_to_tokens(cut)),
                lost=len(whole) - len(cut),
                pooled="query and document are read together",
                result=f"score {model.score([(query, document)])[0]:.3f}",
            )
        )
    facts = {"first stage": info.parts["first_stage"], "score": "before activation, any number"}
    return Explanation(info, facts, tuple(readings))


def _lexical(model: BM25Model, texts: Sequence[str]) -> Explanation:
    info = model.describe()
    readings = []
    for text, words in zip(texts, model.words(texts), strict=True):
        dropped = len(text.split()) - len(words)
        readings.append(
            Reading(text, ("query", "document"), "", tuple(words), max(dropped, 0), "counts of words", "no vector")
        )
    return Explanation(info, {"similarity": "BM25", "lost": "stop words and single letters"}, tuple(readings))
