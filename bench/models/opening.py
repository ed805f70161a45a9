"""What `--model` may name, and how it is opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.protocols import Model

LEXICAL = ("bm25", "bm25-stemmed")
PRECISIONS = ("32-true", "bf16-mixed", "bf16-true")
_MARKERS = ("config_sentence_transformers.json", "modules.json", "config.json")


def open_model(name: str, *, device: str | None = None, precision: str = "32-true") -> Model:
    """Open what `name` stands for.

    Args:
        name: one of `LEXICAL`, a run folder or `.ckpt` file of ours, a sentence-transformers or cross-encoder folder,
            or a hub name `owner/name`.
        device: such as `cpu` or `cuda`; None picks one.
        precision: one of `PRECISIONS`.

    Raises:
        ValueError: if it is none of these, saying what was looked for.
    """
    check_precision(precision)
    kind = kind_of(name)
    if kind == "sentence-transformers" and not Path(name).exists():
        kind = _hub_kind(name)
    if kind == "lexical":
        from bench.models.bm25 import BM25Model

        return BM25Model(stemmed=name == "bm25-stemmed")
    if kind == "zoo":
        from bench.models.zoo_run import ZooRun

        return ZooRun(Path(name), device, precision)
    return _open_foreign(name, kind, device, precision)


def split_label(model: str) -> tuple[str | None, str]:
    """What records call a model, and what to open: `LABEL=NAME`, or a bare name with no label of its own.

    Example:
        >>> split_label("minilm=models/model"), split_label("models/model")
        (('minilm', 'models/model'), (None, 'models/model'))
    """
    label, equals, name = model.partition("=")
    return (label, name) if equals and not Path(model).exists() else (None, model)


def check_precision(precision: str) -> None:
    """Refuse a precision that is none of `PRECISIONS` with a ValueError."""
    if precision not in PRECISIONS:
        raise ValueError(f"--precision {precision}: choose one of {', '.join(PRECISIONS)}")


def kind_of(name: str) -> str:
    """`lexical`, `zoo`, `sentence-transformers` or `cross-encoder`, from the name and the files behind it.

    A hub name counts as `sentence-transformers`; whether it is a cross-encoder is known when it is opened.

    Raises:
        ValueError: if it can be none of these.

    Example:
        >>> kind_of("bm25"), kind_of("sentence-transformers/all-MiniLM-L6-v2")
        ('lexical', 'sentence-transformers')
    """
    path = Path(name)
    if name in LEXICAL:
        return "lexical"
    if path.is_file() and path.suffix == ".ckpt":
        return "zoo"
    if path.is_dir():
        return _folder_kind(name, path)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and path.suffix != ".ckpt" and not path.exists():
        return "sentence-transformers"
    raise ValueError(
        f"--model {name}: no such run folder, .ckpt file, sentence-transformers or cross-encoder folder, "
        f"and neither a hub name (owner/name) nor one of {', '.join(LEXICAL)}"
    )


def _folder_kind(name: str, path: Path) -> str:
    files = {file: path / file for file in _MARKERS if (path / file).is_file()}
    kind = _foreign_kind(files)
    if kind is None and next(path.rglob("*.ckpt"), None) is not None:
        return "zoo"
    if kind is None:
        raise ValueError(
            f"--model {name}: exists, but is neither a run folder of ours (no .ckpt in it), nor a sentence-transformers"
            " folder (no modules.json in it), nor a cross-encoder (no config.json of a sequence classifier in it)"
        )
    return kind


def _foreign_kind(files: Mapping[str, Path]) -> str | None:
    """Kind of a model of sentence-transformers by its marker files; None where they do not say."""
    written = _json(files.get("config_sentence_transformers.json"))
    if written.get("model_type") == "CrossEncoder":
        return "cross-encoder"
    if "modules.json" in files:
        return "sentence-transformers"
    architectures = _json(files.get("config.json")).get("architectures") or []
    classifies = any(str(name).endswith("ForSequenceClassification") for name in architectures)
    return "cross-encoder" if classifies else None


def _hub_kind(name: str) -> str:
    """Kind by the marker files on the hub, which are a few kilobytes; sentence-transformers where they do not say."""
    from huggingface_hub import hf_hub_download

    files = {}
    for file in _MARKERS:
        try:
            files[file] = Path(hf_hub_download(name, file))
        except (OSError, ValueError):  # not there, or no connection: opening it says which
            continue
    return _foreign_kind(files) or "sentence-transformers"


def _json(path: Path | None) -> dict[str, Any]:
    try:
        content = {} if path is None else json.loads(path.read_bytes())
    except (OSError, ValueError):  # opening it says what is wrong
        return {}
    return content if isinstance(content, dict) else {}


def _open_foreign(name: str, kind: str, device: str | None, precision: str) -> Model:
    try:
        if kind == "cross-encoder":
            from bench.models.cross_encoder import CrossEncoderModel

            return CrossEncoderModel(name, device, precision)
        from bench.models.sentence_transformer import SentenceTransformerModel

        return SentenceTransformerModel(name, device, precision)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"--model {name}: no {kind} model could be loaded from it: {reason}") from error
