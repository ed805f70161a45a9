"""From a run to a folder that transformers or sentence-transformers load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from zoo.contracts import JsonDict
from zoo.data.tokenizers.special_tokens import special_tokens_of
from zoo.encode import TextEncoder
from zoo.export.architectures import dense_encoder, stock_of
from zoo.export.stock import Stock, Trained
from zoo.export.writing import check_target, write_folder
from zoo.objectives import CausalLM

Format = Literal["sentence-transformers", "transformers"]
FORMATS: tuple[str, ...] = get_args(Format)


def export_run(run: str | Path, to: Format, out: str | Path) -> str:
    """`export_encoder` of a run folder or checkpoint file.

    Raises:
        FileNotFoundError: if there is no run.
        ValueError: as `export_encoder`, or if the checkpoint cannot be read.
    """
    check_target(Path(out))
    return export_encoder(TextEncoder.load(run, device="cpu"), to, out)


def export_encoder(encoder: TextEncoder, to: Format, out: str | Path) -> str:
    """Write an encoder as an architecture of transformers, so that nothing of ours is needed to load it.

    The vectors are those of `TextEncoder`. The embedding becomes one table of V x D, whatever it was. An output head is
    left out: those of transformers have a layer that ours do not have.

    Args:
        encoder: the model, on the CPU.
        to: `transformers` (config.json, weights, tokenizer), or `sentence-transformers`, which adds mean pooling and
            the prefixes of queries and documents as prompts.
        out: the new folder; it may exist if it is empty.

    Returns:
        The model_type that was written.

    Raises:
        ValueError: if `out` is not empty, or no stock architecture computes what this run does.
    """
    check_target(Path(out))
    stock = stock_of(_trained(encoder))
    files = _transformer_files(encoder, stock)
    if to == "sentence-transformers":
        files |= _sentence_transformer_files(encoder)
    files["README.md"] = _readme(encoder, stock, to)
    write_folder(Path(out), files, {name: _plain(tensor) for name, tensor in stock.tensors.items()})
    return str(stock.config["model_type"])


def _trained(encoder: TextEncoder) -> Trained:
    objective = encoder.objective
    if isinstance(objective, CausalLM):
        raise ValueError(
            "a CausalLM attends to what stands before a token only, and no stock architecture does that with this "
            "encoder: export a MaskedLM or Contrastive run"
        )
    with torch.no_grad():
        rows = objective.embedding(torch.arange(objective.vocabulary.size))
    return Trained(dense_encoder(objective.encoder), rows, objective.vocabulary, objective.max_length)


def _plain(tensor: Tensor) -> Tensor:
    """Float32 in memory of its own, as the format of the file asks for."""
    return tensor.detach().to(torch.float32).clone(memory_format=torch.contiguous_format)


def _transformer_files(encoder: TextEncoder, stock: Stock) -> dict[str, str]:
    tokenizer = encoder.objective.tokenizer
    names = {f"{role}_token": name for role, name in special_tokens_of(tokenizer).items()}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": encoder.max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **names,
    }
    return {
        "config.json": _json({**stock.config, "dtype": "float32"}),
        "tokenizer.json": tokenizer.to_str(),
        "tokenizer_config.json": _json(settings),
        "special_tokens_map.json": _json(names),
    }


def _sentence_transformer_files(encoder: TextEncoder) -> dict[str, str]:
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(modules)
    ]
    pooling = {"word_embedding_dimension": encoder.dim, "pooling_mode_mean_tokens": True, "include_prompt": True}
    return {
        "modules.json": _json(listed),
        "1_Pooling/config.json": _json(pooling),
        "sentence_bert_config.json": _json({"max_seq_length": encoder.max_length, "do_lower_case": False}),
        "config_sentence_transformers.json": _json(
            {"prompts": dict(encoder.prompts), "default_prompt_name": None, "similarity_fn_name": "cosine"}
        ),
    }


def _json(value: JsonDict | list[JsonDict]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _readme(encoder: TextEncoder, stock: Stock, to: str) -> str:
    objective = type(encoder.objective).__name__
    load = (
        'SentenceTransformer("FOLDER").encode(texts, prompt_name="query")'
        if to == "sentence-transformers"
        else 'AutoModel.from_pretrained("FOLDER"), AutoTokenizer.from_pretrained("FOLDER")'
    )
    head = "" if objective == "Contrastive" else f" The output head of the {objective} is left out."
    return (
        f"---\nlibrary_name: {to}\n---\n\n# {encoder.name}\n\n"
        f"The encoder of a {objective} run as `{stock.config['model_type']}`; a text is the mean of its token vectors, "
        f"special tokens included.{head} {stock.note}".rstrip()
        + f"\n\n```python\n{load}\n```\n"
    )
