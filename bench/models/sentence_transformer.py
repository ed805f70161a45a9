"""Any sentence-transformers model, by folder or hub name, with its own prompts, pooling and similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.util import batch_to_device, truncate_embeddings

from bench.models import fused
from bench.models.model_parts import parts_of
from bench.models.token_padding import TokenPadding
from bench.models.transformer_vocabulary import TransformerVocabulary
from bench.protocols import Role, Route, Tokens
from bench.records import ModelInfo, Parameters

DTYPES = {"32-true": "float32", "bf16-mixed": "bfloat16", "bf16-true": "bfloat16-true"}

# Small enough that what a layer writes stays in the cache of a core; a GPU wants enough work for each kernel.
_BATCH_TOKENS = {"cpu": 2048, "other": 65536}


class SentenceTransformerModel:
    """A sentence-transformers model.

    Args:
        name: folder or hub name.
        device: such as `cpu` or `cuda`; None picks one.
        precision: `32-true`; `bf16-mixed` for matrix products in bfloat16 with float32 weights; `bf16-true` for a
            transformer all in bfloat16, with pooling and what follows in float32.
    """

    searcher = None
    cross_encoder = None
    language_model = None

    def __init__(self, name: str, device: str | None, precision: str) -> None:
        local = Path(name).exists()
        self._name = Path(name).resolve().name if local else name
        self._source = None if local else name
        self._dtype = DTYPES[precision]
        self._opened = name
        self._model = SentenceTransformer(name, device=device).float().eval()
        # Taken now: tokenizers keep the padding of the last batch, which must not reach the hash.
        parts = parts_of(self._model, self._dtype)
        self._tokens = TokenPadding.of(self._model)
        self._by_role = _depends_on_role(self._model)
        if self._dtype == "bfloat16-true":
            _halve(self._model)
        self._info = self._describe(parts)
        self._bytes = _bytes_by_part(self._model)
        if self._model.device.type == "cpu" and self._dtype != "bfloat16":
            fused.optimize(self._model)

    @property
    def encoder(self) -> SentenceTransformerModel:
        """This model."""
        return self

    @cached_property
    def vocabulary(self) -> TransformerVocabulary | None:
        """The input table of its transformer; None if it does not begin with one."""
        return TransformerVocabulary.of(self._model, self._info)

    @property
    def network(self) -> SentenceTransformer:
        """The model as it encodes, perhaps with kernels that cannot be trained."""
        return self._model

    def fresh_network(self) -> SentenceTransformer:
        """The model as its files have it, in float32 on the CPU: a copy that can be trained."""
        return SentenceTransformer(self._opened, device="cpu").float()

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self._model.device)

    @property
    def batch_tokens(self) -> int:
        """Tokens a batch, padding included."""
        return _BATCH_TOKENS.get(self._model.device.type, _BATCH_TOKENS["other"])

    @property
    def streams(self) -> int:
        """A core a batch on a CPU; an accelerator takes one batch at a time."""
        return torch.get_num_threads() if self._model.device.type == "cpu" else 1

    def describe(self) -> ModelInfo:
        """What is being scored."""
        return self._info

    def bytes_by_part(self) -> dict[str, int]:
        """Bytes of parameters and buffers."""
        return self._bytes

    def route(self, prompt: str | None, role: Role | None) -> Route:
        """The prompt that `encode`, `encode_query` or `encode_document` would take, and the role if it matters."""
        if prompt is None:
            name = role if role in self._model.prompts else self._model.default_prompt_name
            prompt = self._model.prompts.get(name) if name is not None else None
        return Route(prompt or "", role if self._by_role else None)

    def tokenize(self, texts: Sequence[str], route: Route) -> list[Tokens]:
        """Token ids; the texts themselves for a model that starts with something else than a transformer of tokens."""
        return list(texts) if self._tokens is None else self._tokens.tokenize(texts, route)

    @torch.inference_mode()
    def embed(self, batch: Sequence[Tokens], route: Route) -> NDArray[np.float32]:
        """Vectors (len(batch), dim), by the modules of the model."""
        model = self._model
        task = {} if route.role is None else {"task": route.role}
        if self._tokens is None:
            features = model.preprocess(list(batch), prompt=route.prompt or None, **task)
        else:
            features = self._tokens.pad(batch, route)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=self._dtype == "bfloat16"):
            vectors = model(batch_to_device(features, model.device), **task)["sentence_embedding"]
        if model.truncate_dim is not None:
            vectors = truncate_embeddings(vectors, model.truncate_dim)
        array: NDArray[np.float32] = vectors.float().cpu().numpy()
        return array

    def similarity(self, left: Any, right: Any) -> Any:
        """The model's own similarity of each row of `left` with each of `right`."""
        return self._model.similarity(left, right)

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        """The model's own similarity of row i of `left` with row i of `right`."""
        return self._model.similarity_pairwise(left, right)

    def _describe(self, parts: Mapping[str, str]) -> ModelInfo:
        model = self._model
        total = sum(p.numel() for p in model.parameters())
        embedding = _embedding_parameters(model)
        tensors = [*model.parameters(), *model.buffers()]
        dim = model.get_embedding_dimension()
        return ModelInfo(
            name=self._name,
            parts=parts,
            kind="sentence-transformers",
            source=self._source,
            dtype=self._dtype,
            parameters=Parameters(total=total, embedding=embedding, encoder=total - embedding, head=0),
            bytes=sum(t.numel() * t.element_size() for t in tensors),
            dim=len(model.encode("")) if dim is None else dim,
            max_length=model.get_max_seq_length(),
            prompts={name: prompt for name, prompt in model.prompts.items() if prompt},
        )


def _bytes_by_part(model: SentenceTransformer) -> dict[str, int]:
    network = getattr(model[0], "auto_model", None)
    table = {} if network is None else {id(t): t for t in network.get_input_embeddings().parameters()}
    body = {id(t): t for t in [*model[0].parameters(), *model[0].buffers()] if id(t) not in table}
    seen = {*table, *body}
    rest = {id(t): t for t in [*model.parameters(), *model.buffers()] if id(t) not in seen}
    return {"embedding": _bytes(table), "encoder": _bytes(body), "head": 0, "rest": _bytes(rest)}


def _bytes(tensors: Mapping[int, torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _halve(model: SentenceTransformer) -> None:
    """Run the first module in bfloat16, and hand its output on in float32: sums of bfloat16 lose too much."""

    def to_float(_module: Any, _inputs: Any, features: dict[str, Any]) -> dict[str, Any]:
        floats = {
            name: value.float()
            for name, value in features.items()
            if isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16
        }
        return {**features, **floats}

    model[0].bfloat16().register_forward_hook(to_float)


def _depends_on_role(model: SentenceTransformer) -> bool:
    """Whether a module reads the task that `encode_query` and `encode_document` set."""
    first = model[0]
    by_length = any(getattr(first, name, None) for name in ("query_length", "document_length", "query_expansion"))
    by_template = "message" in getattr(first, "modalities", ())
    routed = any(isinstance(module, Router) for module in model)
    return routed or by_length or by_template or "task" in model.get_model_kwargs()


def _embedding_parameters(model: SentenceTransformer) -> int:
    network = getattr(model[0], "auto_model", None)
    tables = [] if network is None else [network.get_input_embeddings()]
    return sum(p.numel() for table in tables for p in table.parameters())
