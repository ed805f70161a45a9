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
        "weights": weights(model),
        "tokenizer": digest(tokenizer_facts(model.tokenizer)),
        "modules": digest([[type(module).__name__, module_facts(module)] for module in model]),
        "pooling": _pooling(model),
        "prompts": digest([model.prompts, model.default_prompt_name]),
        "similarity": str(model.similarity_fn_name),
        "truncate_dim": str(model.truncate_dim),
        "max_length": str(model.get_max_seq_length()),
        "dtype": dtype,
    }


def weights(model: Any) -> str:
    """sha256 of all tensors of `model`, with their names, types and shapes."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()


def digest(facts: Any) -> str:
    """sha256 of plain values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def tokenizer_facts(tokenizer: Any) -> Any:
    """All that decides the tokens of a text; padding and truncation are left over from the last batch."""
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        return getattr(tokenizer, "get_vocab", dict)()
    facts = json.loads(tokenizer.backend_tokenizer.to_str())
    return {key: value for key, value in facts.items() if key not in ("padding", "truncation")}


def module_facts(module: Any) -> dict[str, Any]:
    """Configuration of a module, without where it came from and which version wrote it."""
    facts = dict(module.get_config_dict()) if hasattr(module, "get_config_dict") else {}
    network = getattr(module, "auto_model", None)
    if network is not None:
        config = network.config.to_dict()
        facts["network"] = {k: v for k, v in config.items() if k not in ("_name_or_path", "transformers_version")}
    return facts


def _pooling(model: SentenceTransformer) -> str:
    modes = [str(module.pooling_mode) for module in model if hasattr(module, "pooling_mode")]
    return "+".join(modes) or "none"
