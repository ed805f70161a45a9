"""Any sentence-transformers model, by folder or hub name, with its own prompts, pooling and similarity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.protocols import Role
from bench.records import ModelInfo, Parameters

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class SentenceTransformerModel:
    """A sentence-transformers model.

    Args:
        name: folder or hub name.
        device: such as `cpu` or `cuda`; None picks one.
        precision: `32-true`, or `bf16-mixed` for matrix products in bfloat16; the weights are float32 in both.
    """

    searcher = None
    language_model = None

    def __init__(self, name: str, device: str | None, precision: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._name = Path(name).resolve().name if Path(name).exists() else name
        self._dtype = "bfloat16" if precision == "bf16-mixed" else "float32"
        self._model = SentenceTransformer(name, device=device).float().eval()
        # Taken now: tokenizers keep the padding of the last batch, which must not reach the hash.
        self._info = self._describe()

    @property
    def encoder(self) -> SentenceTransformerModel:
        """This model."""
        return self

    def describe(self) -> ModelInfo:
        """What is being scored."""
        return self._info

    def encode(
        self, texts: Sequence[str], *, prompt: str | None = None, role: Role | None = None, progress: bool = False
    ) -> NDArray[np.float32]:
        """Vectors (len(texts), dim), through `encode_query` and `encode_document` where the role is known."""
        import torch

        model = self._model
        encode = {None: model.encode, "query": model.encode_query, "document": model.encode_document}[role]
        with torch.autocast(model.device.type, torch.bfloat16, enabled=self._dtype == "bfloat16"):
            vectors = encode(list(texts), prompt=prompt, show_progress_bar=progress, convert_to_tensor=True)
        return cast(NDArray[np.float32], vectors.float().cpu().numpy())

    def similarity(self, left: Any, right: Any) -> Any:
        """The model's own similarity of each row of `left` with each of `right`."""
        return self._model.similarity(left, right)

    def similarity_pairwise(self, left: Any, right: Any) -> Any:
        """The model's own similarity of row i of `left` with row i of `right`."""
        return self._model.similarity_pairwise(left, right)

    def _describe(self) -> ModelInfo:
        model = self._model
        total = sum(p.numel() for p in model.parameters())
        embedding = _embedding_parameters(model)
        tensors = [*model.parameters(), *model.buffers()]
        return ModelInfo(
            name=self._name,
            revision=fingerprint(model, self._dtype),
            kind="sentence-transformers",
            dtype=self._dtype,
            parameters=Parameters(total=total, embedding=embedding, encoder=total - embedding, head=0),
            bytes=sum(t.numel() * t.element_size() for t in tensors),
            dim=model.get_embedding_dimension(),
            max_length=model.get_max_seq_length(),
            prompts={name: prompt for name, prompt in model.prompts.items() if prompt},
        )


def fingerprint(model: SentenceTransformer, dtype: str) -> str:
    """sha256 over all that changes a vector: weights, tokenizer, modules, prompts, similarity, length and dtype.

    Where the model lies, and which version of a library wrote it, does not count.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    facts = {
        "tokenizer": _tokenizer_facts(model.tokenizer),
        "modules": [[type(module).__name__, _module_facts(module)] for module in model],
        "prompts": model.prompts,
        "default_prompt": model.default_prompt_name,
        "similarity": model.similarity_fn_name,
        "truncate_dim": model.truncate_dim,
        "max_length": model.get_max_seq_length(),
        "dtype": dtype,
    }
    digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _tokenizer_facts(tokenizer: Any) -> Any:
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        return getattr(tokenizer, "get_vocab", dict)()
    facts = json.loads(tokenizer.backend_tokenizer.to_str())
    return {key: value for key, value in facts.items() if key not in ("padding", "truncation")}


def _module_facts(module: Any) -> dict[str, Any]:
    facts = dict(module.get_config_dict()) if hasattr(module, "get_config_dict") else {}
    network = getattr(module, "auto_model", None)
    if network is not None:
        config = network.config.to_dict()
        facts["network"] = {k: v for k, v in config.items() if k not in ("_name_or_path", "transformers_version")}
    return facts


def _embedding_parameters(model: SentenceTransformer) -> int:
    network = getattr(model[0], "auto_model", None)
    tables = [] if network is None else [network.get_input_embeddings()]
    return sum(p.numel() for table in tables for p in table.parameters())
