"""All that decides a vector of a sentence-transformers model, by part."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from sentence_transformers import SentenceTransformer


def parts_of(model: SentenceTransformer, dtype: str) -> dict[str, str]:
    """Parts by name, each a sha256 or a short value; where the model lies and what wrote it does not count.

    Args:
        model: in float32, before anything was encoded (tokenizers keep the padding of the last batch).
        dtype: of the computation.
    """
    return {
        "weights": _weights(model),
        "tokenizer": _digest(_tokenizer_facts(model.tokenizer)),
        "modules": _digest([[type(module).__name__, _module_facts(module)] for module in model]),
        "pooling": _pooling(model),
        "prompts": _digest([model.prompts, model.default_prompt_name]),
        "similarity": str(model.similarity_fn_name),
        "truncate_dim": str(model.truncate_dim),
        "max_length": str(model.get_max_seq_length()),
        "dtype": dtype,
    }


def _weights(model: SentenceTransformer) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


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


def _pooling(model: SentenceTransformer) -> str:
    modes = [str(module.pooling_mode) for module in model if hasattr(module, "pooling_mode")]
    return "+".join(modes) or "none"
