"""Texts to vectors with a trained model: the only door through which the benchmarks see one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from zoo import checkpoint
from zoo.contracts import JsonDict, PackedBatch, PairView
from zoo.layers.pooling import mean_pool
from zoo.objectives.objective import Objective


class TextEncoder:
    """Mean-pooled token vectors of a trained objective, in batches of texts of similar length.

    Args:
        objective: built, with its weights.
        name: what results call the model.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        precision: `32-true` or `bf16-mixed`.
        batch_tokens: real tokens a batch.

    Raises:
        ValueError: if the precision is unknown.
    """

    def __init__(
        self,
        objective: Objective,
        name: str,
        device: str = "auto",
        precision: str = "32-true",
        batch_tokens: int = 4096,
    ) -> None:
        if precision not in ("32-true", "bf16-mixed"):
            raise ValueError(f"precision must be 32-true or bf16-mixed for encoding, not {precision}")
        self.device = torch.device(choose_device(device))
        self.objective = objective.eval().to(self.device)
        self.name, self.precision, self.batch_tokens = name, precision, batch_tokens
        self.max_length = objective.max_length
        view = objective.view
        prefixes = view if isinstance(view, PairView) else PairView()
        self.prompts: Mapping[str, str] = {"query": prefixes.query_prefix, "document": prefixes.document_prefix}

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto", precision: str = "32-true") -> TextEncoder:
        """The encoder of a run folder or checkpoint file; the run folder names the model.

        Raises:
            FileNotFoundError: if there is no checkpoint at `path`.
            ValueError: if it cannot be read.
        """
        return cls(checkpoint.load(path), model_name(path), device, precision)

    @property
    def dim(self) -> int:
        """Size of a text embedding."""
        return self.objective.width

    @property
    def dtype(self) -> str:
        """Type that matrix products run in."""
        return "bfloat16" if self.precision == "bf16-mixed" else "float32"

    @property
    def parts(self) -> Mapping[str, str]:
        """All that decides an embedding, by part: a sha256 or a short value each."""
        return {
            **checkpoint.parts(self.objective),
            "pooling": "mean",
            "prompts": json.dumps(dict(self.prompts), sort_keys=True),
            "max_length": str(self.max_length),
            "dtype": self.dtype,
        }

    @property
    def description(self) -> JsonDict:
        """Sizes, axes, configuration and training facts for a result record."""
        return checkpoint.describe(self.objective) | {"dtype": self.dtype}

    def tokenize(self, texts: Sequence[str], prompt: str = "") -> list[list[int]]:
        """Token ids of each text with `prompt` before it, cut to `max_length` with the closing token kept."""
        return tokenize(self.objective, [prompt + text for text in texts], self.max_length)

    @torch.inference_mode()
    def embed(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        """Vectors of tokenized texts in one forward pass; fastest where texts of equal length are neighbours.

        Returns:
            float32 of shape (n, dim), not normalised.
        """
        batch = PackedBatch.from_sequences(ids).to(self.device)
        with autocast(self.device, self.precision):
            hidden = self.objective.encode(batch, causal=False).hidden
        vectors: np.ndarray = mean_pool(hidden, batch.layout(causal=False)).float().cpu().numpy()
        return vectors

    def encode(self, texts: Sequence[str], *, prompt: str = "", progress: bool = False) -> np.ndarray:
        """One vector a text.

        Args:
            texts: any number of texts; longer ones are cut to `max_length` tokens, an empty one is its special tokens.
            prompt: put before each text.
            progress: show a bar.

        Returns:
            float32 of shape (n, dim), in the order of `texts`, not normalised.
        """
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        ids = self.tokenize(texts, prompt)
        with tqdm(total=len(texts), desc="encoding", unit="text", disable=not progress) as bar:
            for places in self._batches(ids):
                vectors[places] = self.embed([ids[place] for place in places])
                bar.update(len(places))
        return vectors

    def _batches(self, ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Places of texts of similar lengths, longest first, so that a batch that does not fit fails at once."""
        places: list[int] = []
        tokens = 0
        for place in sorted(range(len(ids)), key=lambda i: -len(ids[i])):
            if places and tokens + len(ids[place]) > self.batch_tokens:
                yield places
                places, tokens = [], 0
            places.append(place)
            tokens += len(ids[place])
        if places:
            yield places


def tokenize(objective: Objective, texts: list[str], max_length: int) -> list[list[int]]:
    """Token ids of each text, cut to `max_length` with the closing token kept."""
    closing = objective.vocabulary.sep_id
    ids = [encoding.ids for encoding in objective.tokenizer.encode_batch_fast(texts)]
    return [i if len(i) <= max_length else [*i[: max_length - 1], closing] for i in ids]


def model_name(path: str | Path) -> str:
    """Name of the run that a run folder or checkpoint file belongs to."""
    given = Path(path).resolve()
    if given.is_dir():
        return given.name
    return given.parent.parent.name if given.parent.name == "checkpoints" else given.stem


def choose_device(device: str) -> str:
    """`auto` is the first accelerator, or the CPU.

    Raises:
        ValueError: if CUDA is asked for and absent.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device} is not available here: use --device cpu")
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context that `precision` means on `device`."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16-mixed" else nullcontext()
