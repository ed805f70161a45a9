"""A tokenizer that exists already."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

from zoo.data.cache import content_key
from zoo.data.tokenizers.source import TokenizerSource
from zoo.data.tokenizers.special_tokens import add_document_template, special_tokens_of


class PretrainedTokenizer(TokenizerSource):
    """A tokenizer from a `tokenizer.json` file, a folder that holds one, or a model on the hub.

    Its own truncation and padding are switched off, and its special tokens, whatever their names (`<s>`, `</s>`, ...),
    are put around documents as `[CLS] tokens [SEP]`.

    Args:
        name_or_path: path of a file or folder, or a hub name such as `answerdotai/ModernBERT-base`.
        revision: branch, tag or commit on the hub.

    Raises:
        ValueError: if it has no pad, unk, cls, sep or mask token, or is no tokenizer at all (in `build`).
        FileNotFoundError: if there is no such file, folder or hub model (in `build`).
    """

    def __init__(self, name_or_path: str, revision: str = "main") -> None:
        self.name_or_path = name_or_path
        self.revision = revision

    @property
    def key(self) -> str:
        """Name and a hash of the file's content: an edited file is another tokenizer."""
        return f"PretrainedTokenizer({self.name_or_path}, {content_key(self._file.read_bytes())})"

    def build(self, texts: Iterable[str]) -> Tokenizer:
        """Load it; `texts` are not looked at."""
        try:
            tokenizer = Tokenizer.from_file(str(self._file))
        except Exception as error:  # the Rust side raises bare Exception
            raise ValueError(f"{self._file} is not a tokenizer.json of the tokenizers library: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        try:
            names = special_tokens_of(tokenizer)
        except ValueError as error:
            raise ValueError(f"{self.name_or_path}: {error}") from error
        add_document_template(tokenizer, names)
        return tokenizer

    @cached_property
    def _file(self) -> Path:
        path = Path(self.name_or_path).expanduser()
        if path.is_file():
            return path
        if path.is_dir():
            if not (path / "tokenizer.json").is_file():
                raise FileNotFoundError(f"{path} has no tokenizer.json: name a folder or file that has")
            return path / "tokenizer.json"
        if path.suffix == ".json" or path.is_absolute() or self.name_or_path.startswith("."):
            siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            near = difflib.get_close_matches(path.name, siblings, n=1)
            hint = f", did you mean {path.parent / near[0]}?" if near else ""
            raise FileNotFoundError(f"there is no tokenizer file {path}{hint}")
        return self._download()

    def _download(self) -> Path:
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(self.name_or_path, "tokenizer.json", revision=self.revision))
        except Exception as error:  # the hub's own errors, and those of its transport, have no common base
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise FileNotFoundError(
                f"no tokenizer at {self.name_or_path!r}: no such path, no hub model with a tokenizer.json ({reason})"
            ) from error
