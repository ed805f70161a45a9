"""Tokens first, padding later: the two halves of what sentence-transformers does in one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from transformers import PreTrainedTokenizerFast

from bench.protocols import Route, Tokens

_UNPADDED = {"text": {"padding": False}, "common": {"return_tensors": None}}
_PROBE = ["a", "two words"]


class TokenPadding:
    """Tokenizes through the first module of a model, and pads batches of its ids.

    Args:
        module: the first module.
    """

    def __init__(self, module: Transformer) -> None:
        self._module = module
        self._prompt_lengths: dict[Route, int | None] = {}
        self._with_types = "token_type_ids" in self._preprocess(_PROBE, Route("", None))

    @classmethod
    def of(cls, model: SentenceTransformer) -> TokenPadding | None:
        """For a model that reads nothing but padded token ids; None for any other one."""
        module = model[0]
        fits = (
            type(module) is Transformer
            and module.backend == "torch"
            and isinstance(module.processor, PreTrainedTokenizerFast)
            and module.modality_config.get("text", {}).get("method") == "forward"
            and "message" not in module.modality_config
            and not any(getattr(module, name, None) for name in ("processing_kwargs", "query_expansion"))
            and not module._can_flatten_inputs()
        )
        return cls(module) if fits and _plain(module) else None

    def tokenize(self, texts: Sequence[str], route: Route) -> list[Tokens]:
        """Ids of each text, with its prompt and special tokens, cut to the length of the model."""
        features = self._preprocess(texts, route)
        self._prompt_lengths[route] = features.get("prompt_length")
        ids: list[Tokens] = features["input_ids"]
        return ids

    def pad(self, batch: Sequence[Tokens], route: Route) -> dict[str, Any]:
        """Features of a batch, as `preprocess` of the module gives them."""
        tokenizer = self._module.tokenizer
        width = max(map(len, batch))
        ids = torch.full((len(batch), width), tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(batch):
            place = slice(width - len(tokens), width) if tokenizer.padding_side == "left" else slice(len(tokens))
            ids[row, place] = torch.tensor(tokens)
            mask[row, place] = 1
        features: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, "modality": "text"}
        if self._with_types:
            features["token_type_ids"] = torch.zeros_like(ids)
        if self._prompt_lengths.get(route) is not None:
            features["prompt_length"] = self._prompt_lengths[route]
        return features

    def _preprocess(self, texts: Sequence[str], route: Route) -> dict[str, Any]:
        task = {} if route.role is None else {"task": route.role}
        features: dict[str, Any] = self._module.preprocess(
            list(texts), prompt=route.prompt or None, processing_kwargs=_UNPADDED, **task
        )
        return features


def _plain(module: Transformer) -> bool:
    """Whether ids are all that the tokenizer gives: every type is 0, everything is attended to, and it can pad."""
    features = module.preprocess(_PROBE)
    unpadded = module.preprocess(_PROBE, processing_kwargs=_UNPADDED)
    return (
        set(features) <= {"input_ids", "attention_mask", "token_type_ids", "modality"}
        and module.tokenizer.pad_token_id is not None
        and getattr(module.tokenizer, "pad_token_type_id", 0) == 0
        and all(all(mask) for mask in unpadded["attention_mask"])
        and not any(any(types) for types in unpadded.get("token_type_ids", []))
    )
