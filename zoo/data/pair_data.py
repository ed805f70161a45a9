"""Pairs of texts from files or the hub."""

from __future__ import annotations

from collections.abc import Callable

from zoo.contracts import PairView
from zoo.data.batch_datasets import TextPairs
from zoo.data.corpus import Corpus
from zoo.data.pair_source import PairCorpus, PairSource
from zoo.data.text_data_module import TextDataModule
from zoo.data.tokenizers import ByteLevelBPE, TokenizerSource


class PairData(TextDataModule):
    """Pairs of query and document, from a hub data set or local jsonl, csv or parquet files.

    Args:
        source: where the pairs come from (`path`, `query`, `document`, `id`, `config`, `num_negatives`, `negatives`,
            `scores`, `query_prefix`, `document_prefix`).
        tokenizer: source of the tokenizer.
        max_length: most tokens of a text, `[CLS]` and `[SEP]` included; longer texts are cut off.
        batch_pairs: most pairs of a batch.
        num_workers: processes that read ahead.
        seed: seed of the order of the training batches.
        cache_dir: root of the caches; null takes ZOO_CACHE or the user's cache folder.

    Raises:
        FileNotFoundError: if nothing is found at the path.
        ValueError: if a column is missing, an id occurs twice, a split is empty, the training split has one pair only,
            a row has too few negatives, or a file is not UTF-8.
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
        return PairCorpus(self.source)

    def pairs(self, corpus: Corpus, view: PairView, split: str) -> TextPairs:
        """The pairs of a split, with the prefixes of the source."""
        return self.read_pairs(corpus, self.source.view(view), split)
