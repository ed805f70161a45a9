"""Likelihood of texts under a trained language model, and where it ranks their tokens."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from zoo import checkpoint
from zoo.contracts import PackedBatch, TokenLosses
from zoo.data.tokenizers import token_bytes
from zoo.encode import autocast, choose_device, model_name
from zoo.objectives.language_model import LanguageModel as LanguageModelObjective
from zoo.objectives.masked_lm import MaskedLM

Kind = Literal["causal", "masked"]
ERRORS_AT = (1, 5, 20)
RANKING = (*(f"error_at_{k}" for k in ERRORS_AT), "mean_reciprocal_rank")


@dataclass(frozen=True)
class LanguageModelScore:
    """Sums over the scored tokens of each window of a set of texts.

    Args:
        window_nats: negative log-likelihood, float64 of shape (windows,).
        window_tokens: number of scored tokens, of shape (windows,).
        window_bytes: UTF-8 bytes that those tokens stand for, of shape (windows,).
        window_ranking: by the name of the mean over tokens that they add up to, float64 of shape (windows,):
            `error_at_1`, `error_at_5`, `error_at_20`, 1 for a token that is not among the first k;
            `mean_reciprocal_rank`, 1 / rank.
        kind: `causal`, a likelihood of the text; `masked`, of the masked tokens given all others.
        calibrated: whether the loss that the model was trained by is no probability, and the likelihood is that of a
            softmax whose sharpness was fitted to validation texts.
    """

    window_nats: np.ndarray
    window_tokens: np.ndarray
    window_bytes: np.ndarray
    window_ranking: Mapping[str, np.ndarray]
    kind: Kind
    calibrated: bool = False

    @property
    def nats(self) -> float:
        """Summed negative log-likelihood."""
        return math.fsum(self.window_nats)

    @property
    def tokens(self) -> int:
        """Number of scored tokens."""
        return int(self.window_tokens.sum())

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the scored tokens."""
        return int(self.window_bytes.sum())


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
    def kind(self) -> Kind:
        """Whether each token is predicted from what stands before it, or from all others."""
        return "masked" if isinstance(self.objective, MaskedLM) else "causal"

    def score(self, texts: Sequence[str], *, stream: bool, progress: bool = False) -> LanguageModelScore:
        """Negative log-likelihood and ranks of `texts` in windows of the model's length.

        What is masked is drawn from the window's own tokens, so that it does not depend on what is scored beside it.

        Args:
            texts: the texts.
            stream: they are one text in pieces (the windows run across them), else each is a document.
            progress: show a bar.

        Raises:
            ValueError: if no token can be scored.
        """
        sizes = torch.from_numpy(token_bytes(self.objective.tokenizer)).to(self.device)
        windows = list(self._windows(texts, stream))
        sums = [torch.zeros(3 + len(RANKING), 0, dtype=torch.float64)]
        self.objective.to(self.device)
        with tqdm(total=len(windows), desc="scoring", unit="window", disable=not progress) as bar:
            for group in _groups(windows, self.batch_tokens):
                batch = PackedBatch.from_sequences(group).to(self.device)
                with autocast(self.device, self.precision):
                    seeds = [_seed(window) for window in group]
                    losses = self.objective.token_losses(batch, seeds, with_ranks=True)
                sums.append(_per_sequence(losses, sizes, len(group)).cpu())
                bar.update(len(group))
        nats, tokens, size, *ranking = torch.cat(sums, 1).numpy()
        if tokens.sum() == 0 or size.sum() == 0:
            raise ValueError("the texts hold no token that could be scored")
        return LanguageModelScore(
            nats,
            tokens.astype(np.int64),
            size.astype(np.int64),
            dict(zip(RANKING, ranking, strict=True)),
            self.kind,
            self.objective.head.needs_calibration,
        )

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


def _per_sequence(losses: TokenLosses, sizes: Tensor, count: int) -> Tensor:
    """Summed nats, tokens, bytes and what `RANKING` names: (3 + len(RANKING), count)."""
    assert losses.ranks is not None
    ranking = [*(losses.ranks > k for k in ERRORS_AT), losses.ranks.double().reciprocal()]
    values = [losses.nll, torch.ones_like(losses.nll), sizes[losses.targets], *ranking]
    rows = torch.stack([value.double() for value in values])
    return rows.new_zeros(len(rows), count).index_add(1, losses.sequences, rows)


def _seed(window: list[int]) -> int:
    return zlib.crc32(np.asarray(window, dtype=np.int64).tobytes())


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
