"""Any cross-encoder of sentence-transformers: reads query and document together and gives one score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder

from bench.models import model_parts
from bench.models.bm25 import BM25Model
from bench.models.sentence_transformer import DTYPES
from bench.records import ModelInfo, Parameters, revision_of

# Documents of a whole corpus that are read for each query: the depth of most published results.
FIRST_STAGE_DEPTH = 100
_BATCH = 64
_BATCHES_A_BLOCK = 16

Pair = tuple[str, str]


class CrossEncoderModel:
    """A cross-encoder with one output.

    Where a task gives candidates it ranks those. Where a whole corpus is to be searched it ranks the first
    `FIRST_STAGE_DEPTH` documents of BM25; that is a part of its identity. It makes no vectors, so that nothing but
    retrieval and reranking can score it.

    Args:
        name: folder or hub name.
        device: such as `cpu` or `cuda`; None picks one.
        precision: `32-true`, or `bf16-mixed` for matrix products in bfloat16 with float32 weights.

    Raises:
        ValueError: if it has more than one output, or the precision is another one.
    """

    encoder = None
    searcher = None
    language_model = None
    vocabulary = None

    def __init__(self, name: str, device: str | None, precision: str) -> None:
        if precision not in ("32-true", "bf16-mixed"):
            raise ValueError(f"--precision {precision}: a cross-encoder has 32-true and bf16-mixed")
        local = Path(name).exists()
        self._name = Path(name).resolve().name if local else name
        self._source = None if local else name
        self._dtype = DTYPES[precision]
        self._model = CrossEncoder(name, device=device).float().eval()
        if self._model.num_labels != 1:
            raise ValueError(
                f"it gives {self._model.num_labels} scores for a pair, so it is a classifier of pairs and cannot rank; "
                "use a cross-encoder with one output"
            )
        self._info = self._describe()
        self._batch = _BATCH

    @property
    def cross_encoder(self) -> CrossEncoderModel:
        """This model."""
        return self

    @property
    def library(self) -> CrossEncoder:
        """The model of sentence-transformers."""
        return self._model

    def describe(self) -> ModelInfo:
        """What is being scored."""
        return self._info

    def score(self, pairs: Sequence[Pair], *, progress: bool = False) -> NDArray[np.float32]:
        """Score of each (query, document), before any squashing, so that high scores do not become equal.

        Equal pairs are read once. Pairs of about the same length are read together; the batch is halved where the
        memory does not suffice.

        Args:
            pairs: any number of them.
            progress: whether to draw a progress bar.

        Returns:
            Array of shape (len(pairs),).
        """
        from tqdm import tqdm

        place = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
        distinct = sorted(place, key=lambda pair: -len(pair[0]) - len(pair[1]))
        scores = np.empty(len(place), dtype=np.float32)
        with tqdm(total=len(distinct), unit="pair", disable=not progress) as bar:
            for block, found in self._blocks(distinct):
                scores[[place[pair] for pair in block]] = found
                bar.update(len(block))
        if not np.isfinite(scores).all():
            raise ValueError("the model gave scores that are not finite")
        return scores[[place[pair] for pair in pairs]] if pairs else scores

    def _blocks(self, pairs: Sequence[Pair]) -> Iterator[tuple[Sequence[Pair], NDArray[np.float32]]]:
        done = 0
        while done < len(pairs):
            block = pairs[done : done + self._batch * _BATCHES_A_BLOCK]
            try:
                found = self._predict(block)
            except torch.OutOfMemoryError:
                if self._batch == 1:
                    raise ValueError("one pair does not fit into the memory; use another device") from None
                self._batch //= 2
                continue
            yield block, found
            done += len(block)

    def _predict(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        kind = self._model.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self._dtype == "bfloat16"):
            scores: NDArray[np.float32] = self._model.predict(
                [list(pair) for pair in pairs],
                batch_size=self._batch,
                activation_fn=torch.nn.Identity(),
                show_progress_bar=False,
            )
        return scores

    def _describe(self) -> ModelInfo:
        model = self._model
        total = sum(p.numel() for p in model.parameters())
        tables = [] if model.model is None else [model.model.get_input_embeddings()]
        embedding = sum(p.numel() for table in tables for p in table.parameters())
        tensors = [*model.parameters(), *model.buffers()]
        first_stage = BM25Model().describe()
        return ModelInfo(
            name=self._name,
            parts={**_parts(model), "dtype": self._dtype, "first_stage": _first_stage(first_stage)},
            kind="cross-encoder",
            source=self._source,
            dtype=self._dtype,
            parameters=Parameters(total=total, embedding=embedding, encoder=total - embedding, head=0),
            bytes=sum(t.numel() * t.element_size() for t in tensors),
            max_length=model.max_seq_length,
            prompts={name: prompt for name, prompt in model.prompts.items() if prompt},
            config={"first_stage": {"model": "bm25", "depth": FIRST_STAGE_DEPTH, "parts": dict(first_stage.parts)}},
        )


def _first_stage(info: ModelInfo) -> str:
    return f"{info.name} {revision_of(info.parts)[:12]}, first {FIRST_STAGE_DEPTH}"


def _parts(model: Any) -> dict[str, str]:
    return {
        "weights": model_parts.weights(model),
        "tokenizer": model_parts.digest(model_parts.tokenizer_facts(model.tokenizer)),
        "modules": model_parts.digest([[type(module).__name__, model_parts.module_facts(module)] for module in model]),
        "prompts": model_parts.digest([model.prompts, model.default_prompt_name]),
        "max_length": str(model.max_seq_length),
        "output": "score before activation",
    }
