"""Models trained by `zoo fit`: a run folder or a checkpoint file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bench.models.zoo_vocabulary import ZooVocabulary
from bench.protocols import LanguageModelScore, Role, Route, Tokens
from bench.records import Axes, ModelInfo, Parameters
from zoo.encode import TextEncoder
from zoo.objectives.language_model import LanguageModel as LanguageModelObjective
from zoo.objectives.objective import Objective
from zoo.score import LanguageModel


class ZooRun:
    """A run folder or `.ckpt` file.

    Args:
        path: the folder or file.
        device: such as `cpu` or `cuda`; None picks one.
        precision: `32-true` or `bf16-mixed`.
    """

    searcher = None
    cross_encoder = None

    def __init__(self, path: Path, device: str | None, precision: str) -> None:
        self._text_encoder = TextEncoder.load(path, device=device or "auto", precision=precision)
        self.encoder = ZooEncoder(self._text_encoder)

    @property
    def objective(self) -> Objective:
        """The trained objective."""
        return self._text_encoder.objective

    @cached_property
    def language_model(self) -> ZooLanguageModel | None:
        """The same weights as a language model; None if the objective predicts no tokens."""
        encoder = self._text_encoder
        if not isinstance(encoder.objective, LanguageModelObjective):
            return None
        model = LanguageModel(encoder.objective, encoder.name, str(encoder.device), encoder.precision)
        return ZooLanguageModel(model, self.encoder.describe())

    @cached_property
    def vocabulary(self) -> ZooVocabulary:
        """Its tables of tokens."""
        return ZooVocabulary(self.objective, self.encoder.describe())


class ZooEncoder:
    """`zoo.encode.TextEncoder` as the runner wants it."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._info = _describe(encoder)

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self._encoder.device)

    def describe(self) -> ModelInfo:
        """What is being scored."""
        return self._info

    def bytes_by_part(self) -> dict[str, int]:
        """Bytes of parameters and buffers; a shared tensor counts with the first part that has it."""
        objective = self._encoder.objective
        parts = {name: getattr(objective, name, None) for name in ("embedding", "encoder", "head")}
        seen: set[int] = set()
        sizes = {}
        for name, module in {**parts, "rest": objective}.items():
            tensors = [] if module is None else [*module.parameters(), *module.buffers()]
            own = {id(tensor): tensor for tensor in tensors if id(tensor) not in seen}
            sizes[name] = sum(tensor.numel() * tensor.element_size() for tensor in own.values())
            seen |= own.keys()
        return sizes

    @property
    def batch_tokens(self) -> int:
        """Tokens a batch."""
        return self._encoder.batch_tokens

    @property
    def streams(self) -> int:
        """A core a batch on a CPU; an accelerator takes one batch at a time."""
        return torch.get_num_threads() if self._encoder.device.type == "cpu" else 1

    def route(self, prompt: str | None, role: Role | None) -> Route:
        """Both sides share one encoder, so that only the prompt can tell them apart."""
        return Route(prompt or "", None)

    def tokenize(self, texts: Sequence[str], route: Route) -> list[Tokens]:
        """Token ids of each text with its prompt before it."""
        return list(self._encoder.tokenize(texts, route.prompt))

    def embed(self, batch: Sequence[Tokens], route: Route) -> NDArray[np.float32]:
        """Mean-pooled vectors (len(batch), dim)."""
        return self._encoder.embed(batch)

    def similarity(self, left: Any, right: Any) -> Any:
        """Cosine of each row of `left` with each of `right`."""
        from mteb.similarity_functions import cos_sim

        return cos_sim(left, right)

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        """Cosine of row i of `left` with row i of `right`."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(left, right)


class ZooLanguageModel:
    """`zoo.score.LanguageModel` as the runner wants it.

    Args:
        model: with the weights of the encoder.
        info: of the encoder: one model has one revision, so that all its records stand in one row.
    """

    def __init__(self, model: LanguageModel, info: ModelInfo) -> None:
        self._model = model
        self._info = info

    @property
    def kind(self) -> Literal["causal", "masked"]:
        """Whether each token is predicted from what stands before it, or from all others."""
        return self._model.kind

    def describe(self) -> ModelInfo:
        """What is being scored."""
        return self._info

    def score(self, texts: Sequence[str], *, stream: bool, progress: bool = False) -> LanguageModelScore:
        """Likelihood of `texts`."""
        return self._model.score(texts, stream=stream, progress=progress)


def _describe(encoder: TextEncoder) -> ModelInfo:
    facts = encoder.description
    axes = {field.name: facts["axes"].get(field.name) for field in dataclasses.fields(Axes)}
    return ModelInfo(
        name=encoder.name,
        parts=encoder.parts,
        kind="zoo",
        dtype=facts["dtype"],
        parameters=Parameters(**facts["parameters"]),
        bytes=facts["bytes"],
        dim=encoder.dim,
        max_length=encoder.max_length,
        prompts={side: prompt for side, prompt in encoder.prompts.items() if prompt},
        axes=Axes(**axes),
        config=facts["config"],
        training=facts["training"],
    )
