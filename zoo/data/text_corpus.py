"""Running text from files or the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from zoo.contracts import TextView
from zoo.data.contiguous_windows import ContiguousWindows
from zoo.data.corpus import Corpus
from zoo.data.rows import SplitRows, open_rows
from zoo.data.text_data_module import TextDataModule, Windows
from zoo.data.token_cache import TokenCache
from zoo.data.tokenizers import ByteLevelBPE, TokenizerSource


@dataclass(frozen=True)
class TextSource:
    """Where running text comes from.

    Args:
        path: hub data set such as `Salesforce/wikitext`, or a file, folder or glob of txt, jsonl, csv, tsv or parquet
            files whose names say their split (`train`, `validation`, `test`); missing splits are cut off the training
            rows, 5% each.
        config: configuration of a hub data set, such as `wikitext-2-v1`.
        column: the column that holds the text; a line of a txt file is a row with the column `text`.
        documents: `rows` makes each row a document; `stream` joins all rows of a split, a line break after each, into
            one contiguous document, for corpora that come line by line such as WikiText.
    """

    path: str
    config: str | None = None
    column: str = "text"
    documents: Literal["rows", "stream"] = "rows"


class TextCorpus(TextDataModule):
    """Running text of a hub data set or of local txt, jsonl, csv or parquet files.

    Args:
        source: where the text comes from (`path`, `config`, `column`, `documents`).
        tokenizer: source of the tokenizer; WordLevel is for corpora of words such as WikiText.
        max_length: most tokens of a sequence, `[CLS]` included; longer texts are cut into windows.
        batch_tokens: most tokens of a batch; with `columns` their number sets the batch.
        num_workers: processes that read ahead.
        seed: seed of the order of the training batches; with `columns` the order is fixed.
        cache_dir: root of the caches; null takes ZOO_CACHE or the user's cache folder.
        columns: null shuffles windows. A number lays each split, which must be a `stream`, into so many contiguous
            columns that are read in order, as encoders with a state need it: a batch is the next `max_length` inputs
            of every column and their targets, without `[CLS]` and `[SEP]`. At most `columns` - 1 tokens are dropped
            at the end of a split.

    Raises:
        FileNotFoundError: if nothing is found at the path.
        ValueError: if a column is missing, a split is empty, a file is not UTF-8, or rows are asked for in columns;
            the message says what to do.
    """

    views = (TextView,)

    def __init__(
        self,
        source: TextSource,
        tokenizer: Callable[[], TokenizerSource] = ByteLevelBPE,
        max_length: int = 128,
        batch_tokens: int = 8192,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
        columns: int | None = None,
    ) -> None:
        super().__init__(
            tokenizer, max_length, batch_tokens=batch_tokens, num_workers=num_workers, seed=seed, cache_dir=cache_dir
        )
        if columns is not None and columns < 1:
            raise ValueError(f"columns must be at least 1, not {columns}")
        if columns is not None and source.documents != "stream":
            raise ValueError("columns need one contiguous text a split: set data.source.documents to stream")
        self.source = source
        self.columns = columns

    def windows(self, cache: TokenCache) -> Windows:
        """Shuffled windows, or contiguous ones."""
        return super().windows(cache) if not self.columns else ContiguousWindows(cache, self.max_length, self.columns)

    def load_corpus(self) -> Corpus:
        """Find and read the files or the hub data set."""
        rows = open_rows(self.source.path, self.source.config, [self.source.column])
        return _Texts(rows, self.source.documents)


class _Texts(Corpus):
    def __init__(self, rows: SplitRows, documents: str) -> None:
        self.rows = rows
        self.documents = documents
        self.name = rows.name
        self.content_hash = f"{rows.content_hash}-{documents}"
        self.facts = {"documents": documents, "splits_cut_off_training": list(rows.cut)}

    def column(self, name: str, split: str) -> Iterable[str]:
        texts = (text for (text,) in self.rows.readers[split]())
        if self.documents == "stream":
            return ["".join(_line(text) for text in texts)]
        return texts

    def tokenizer_texts(self) -> Iterable[str]:
        texts = (text for (text,) in self.rows.readers["train"]())
        return (_line(text) for text in texts) if self.documents == "stream" else texts


def _line(text: str) -> str:
    return text.rstrip("\n") + "\n"
