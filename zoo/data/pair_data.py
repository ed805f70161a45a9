"""Pairs of texts from files or the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from zoo.contracts import PairView
from zoo.data.corpus import SPLITS, Corpus
from zoo.data.rows import SplitRows, open_rows
from zoo.data.text_data_module import TextDataModule
from zoo.data.tokenizers import ByteLevelBPE, TokenizerSource


@dataclass(frozen=True)
class PairSource:
    """Where pairs come from.

    Args:
        path: hub data set, or a file, folder or glob of jsonl, csv, tsv or parquet files whose names say their split
            (`train`, `validation`, `test`); missing splits are cut off the training rows, 5% each.
        query: column of the queries.
        document: column of the texts that answer them.
        id: column of an identifier, which no two rows may share; null if there is none.
        config: configuration of a hub data set.
    """

    path: str
    query: str = "query"
    document: str = "document"
    id: str | None = None
    config: str | None = None


class PairData(TextDataModule):
    """Pairs of query and document, from a hub data set or local jsonl, csv or parquet files.

    Args:
        source: where the pairs come from (`path`, `query`, `document`, `id`, `config`).
        tokenizer: source of the tokenizer.
        max_length: most tokens of a text, `[CLS]` and `[SEP]` included; longer texts are cut off.
        batch_pairs: most pairs of a batch.
        num_workers: processes that read ahead.
        seed: seed of the order of the training batches.
        cache_dir: root of the caches; null takes ZOO_CACHE or the user's cache folder.

    Raises:
        FileNotFoundError: if nothing is found at the path.
        ValueError: if a column is missing, an id occurs twice, a split is empty, or a file is not UTF-8.
    """

    views = (PairView,)

    def __init__(
        self,
        source: PairSource,
        tokenizer: Callable[[], TokenizerSource] = ByteLevelBPE,
        max_length: int = 128,
        batch_pairs: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(
            tokenizer, max_length, batch_pairs=batch_pairs, num_workers=num_workers, seed=seed, cache_dir=cache_dir
        )
        self.source = source

    def load_corpus(self) -> Corpus:
        """Find and read the files or the hub data set."""
        source = self.source
        columns = [source.query, source.document, *([source.id] if source.id else [])]
        rows = open_rows(source.path, source.config, columns)
        if source.id:
            _check_ids(rows, source.id)
        return _Pairs(rows)


class _Pairs(Corpus):
    def __init__(self, rows: SplitRows) -> None:
        self.rows = rows
        self.name = rows.name
        self.content_hash = rows.content_hash
        self.facts = {"splits_cut_off_training": list(rows.cut)}

    def column(self, name: str, split: str) -> Iterable[str]:
        place = ("query", "document").index(name)
        return (row[place] for row in self.rows.readers[split]())

    def tokenizer_texts(self) -> Iterable[str]:
        return (text for row in self.rows.readers["train"]() for text in row[:2])


def _check_ids(rows: SplitRows, column: str) -> None:
    seen: set[str] = set()
    for split in SPLITS:
        for number, (*_, identifier) in enumerate(rows.readers[split](), start=1):
            if identifier in seen:
                raise ValueError(
                    f"{rows.name}: {column} {identifier!r} occurs twice, the second time in row {number} of the "
                    f"{split} split: remove or rename one"
                )
            seen.add(identifier)
