"""What `--model` may name, and how it is opened."""

from __future__ import annotations

from pathlib import Path

from bench.protocols import Model

LEXICAL = "bm25"
PRECISIONS = ("32-true", "bf16-mixed")


def open_model(name: str, *, device: str | None = None, precision: str = "32-true") -> Model:
    """Open what `name` stands for.

    Args:
        name: `bm25`, a run folder or `.ckpt` file of ours, a sentence-transformers folder, or a hub name `owner/name`.
        device: such as `cpu` or `cuda`; None picks one.
        precision: `32-true` or `bf16-mixed`.

    Raises:
        ValueError: if it is none of these, saying what was looked for.
    """
    check_precision(precision)
    kind = kind_of(name)
    if kind == "lexical":
        from bench.models.bm25 import BM25Model

        return BM25Model()
    if kind == "zoo":
        from bench.models.zoo_run import ZooRun

        return ZooRun(Path(name), device, precision)
    return _open_sentence_transformer(name, device, precision)


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
    """`lexical`, `zoo` or `sentence-transformers`, from the name and the files behind it.

    Raises:
        ValueError: if it can be none of these.

    Example:
        >>> kind_of("bm25"), kind_of("sentence-transformers/all-MiniLM-L6-v2")
        ('lexical', 'sentence-transformers')
    """
    path = Path(name)
    if name == LEXICAL:
        return "lexical"
    if path.is_file() and path.suffix == ".ckpt":
        return "zoo"
    if path.is_dir() and (path / "modules.json").is_file():
        return "sentence-transformers"
    if path.is_dir() and next(path.rglob("*.ckpt"), None) is not None:
        return "zoo"
    if path.exists():
        raise ValueError(
            f"--model {name}: exists, but is neither a run folder or .ckpt file of ours (no .ckpt in it) "
            "nor a sentence-transformers folder (no modules.json in it)"
        )
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and path.suffix != ".ckpt":
        return "sentence-transformers"
    raise ValueError(
        f"--model {name}: no such run folder, .ckpt file or sentence-transformers folder, "
        f"and neither a hub name (owner/name) nor {LEXICAL!r}"
    )


def _open_sentence_transformer(name: str, device: str | None, precision: str) -> Model:
    from bench.models.sentence_transformer import SentenceTransformerModel

    try:
        return SentenceTransformerModel(name, device, precision)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"--model {name}: no sentence-transformers model could be loaded from it: {reason}") from error
