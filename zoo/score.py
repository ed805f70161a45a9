"""Likelihood of texts under a trained language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from tqdm.auto import tqdm

from zoo import checkpoint
from zoo.contracts import JsonDict, PackedBatch
from zoo.data.tokenizers import token_bytes
from zoo.encode import autocast, choose_device, model_name
from zoo.objectives.language_model import LanguageModel as LanguageModelObjective
from zoo.objectives.masked_lm import MaskedLM


@dataclass(frozen=True)
class LanguageModelScore:
    """Sums over all scored tokens of a set of texts.

    Args:
        nats: negative log-likelihood.
        tokens: number of scored tokens.
        bytes: UTF-8 bytes that those tokens stand for.
        kind: `causal`, a likelihood of the text; `masked`, of the masked tokens given all others.
    """

    nats: float
    tokens: int
    bytes: int
    kind: Literal["causal", "masked"]


class LanguageModel:
    """A trained `MaskedLM` or `CausalLM`, for scoring.

    Args:
        objective: built, with its weights.
        name: what results call the model.
        device: `auto`, `cpu`, `cuda`, ...
        precision: `32-true` or `bf16-mixed`.
        batch_tokens: real tokens a batch.
    """

    def __init__(
        self,
        objective: LanguageModelObjective,
        name: str,
        device: str = "auto",
        precision: str = "32-true",
        batch_tokens: int = 4096,
    ) -> None:
        self.device = torch.device(choose_device(device))
        self.objective = objective.eval().to(self.device)
        self.name, self.precision, self.batch_tokens = name, precision, batch_tokens

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto", precision: str = "32-true") -> LanguageModel:
        """The language model of a run folder or checkpoint file.

        Raises:
            FileNotFoundError: if there is no checkpoint at `path`.
            ValueError: if it cannot be read or holds no language model.
        """
        objective = checkpoint.load(path)
        if not isinstance(objective, LanguageModelObjective):
            raise ValueError(
                f"{path} holds {type(objective).__name__}, which predicts no tokens: score MaskedLM or CausalLM"
            )
        return cls(objective, model_name(path), device, precision)

    @property
    def dtype(self) -> str:
        """Type that matrix products run in."""
        return "bfloat16" if self.precision == "bf16-mixed" else "float32"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides a score: weights, tokenizer, dtype, length limit."""
        limit = str(self.objective.max_length)
        digest = checkpoint.fingerprint(self.objective.cpu(), "language model", self.dtype, limit)
        self.objective.to(self.device)
        return digest

    @property
    def description(self) -> JsonDict:
        """Sizes, axes, configuration and training facts for a result record."""
        return checkpoint.describe(self.objective) | {"dtype": self.dtype}

    def score(self, texts: Sequence[str], *, stream: bool, progress: bool = False) -> LanguageModelScore:
        """Negative log-likelihood of `texts`, summed over windows of the model's length.

        Args:
            texts: the texts.
            stream: they are one text in pieces (the windows run across them), else each is a document.
            progress: show a bar.

        Raises:
            ValueError: if no token can be scored.
        """
        sizes = torch.from_numpy(token_bytes(self.objective.tokenizer)).to(self.device)
        nats, tokens, size = 0.0, 0, 0
        windows = list(self._windows(texts, stream))
        self.objective.to(self.device)
        with tqdm(total=len(windows), desc="scoring", unit="window", disable=not progress) as bar:
            for index, group in enumerate(_groups(windows, self.batch_tokens)):
                batch = PackedBatch.from_sequences(group).to(self.device)
                with autocast(self.device, self.precision):
                    losses = self.objective.token_losses(batch, seed=index)
                nats += float(losses.nll.double().sum())
                tokens += len(losses.targets)
                size += int(sizes[losses.targets].sum())
                bar.update(len(group))
        if tokens == 0 or size == 0:
            raise ValueError("the texts hold no token that could be scored")
        return LanguageModelScore(nats, tokens, size, "masked" if isinstance(self.objective, MaskedLM) else "causal")

    def _windows(self, texts: Sequence[str], stream: bool) -> Iterator[list[int]]:
        """Token windows; a window of one token has nothing to predict from and is left out."""
        encodings = self.objective.tokenizer.encode_batch_fast(["".join(texts)] if stream else list(texts))
        length = self.objective.max_length
        # a causal window begins with the last token of the one before: only the first token of a text goes unscored
        step = length if isinstance(self.objective, MaskedLM) else length - 1
        for document in (encoding.ids for encoding in encodings):
            for start in range(0, len(document), step):
                window = document[start : start + length]
                if len(window) > 1:
                    yield window


def _groups(windows: list[list[int]], batch_tokens: int) -> Iterator[list[list[int]]]:
    group: list[list[int]] = []
    tokens = 0
    for window in windows:
        if group and tokens + len(window) > batch_tokens:
            yield group
            group, tokens = [], 0
        group.append(window)
        tokens += len(window)
    if group:
        yield group
