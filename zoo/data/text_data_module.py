"""What all data modules share: tokenizer, caches, and loaders of the batches that an objective asks for."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from tokenizers import Tokenizer

from zoo.contracts import DataView, PairView, TextView, Vocabulary
from zoo.data.batch_datasets import TextPairs, TextWindows
from zoo.data.cache import atomic_path, building, cache_root, content_key
from zoo.data.contiguous_windows import ContiguousSampler, ContiguousWindows
from zoo.data.corpus import SPLITS, Corpus
from zoo.data.loader import ResumableLoader
from zoo.data.mixed_pairs import MixedPairs
from zoo.data.mixture_sampler import MixtureSampler
from zoo.data.packing import BatchSampler, SequentialSampler, TokenBudgetSampler
from zoo.data.pair_packing import PairSampler
from zoo.data.token_cache import TokenCache, open_token_cache
from zoo.data.tokenizers import TokenizerSource, vocabulary_of

Windows = TextWindows | ContiguousWindows
Pairs = TextPairs | MixedPairs

_SHORTEST = 8
_log = logging.getLogger(__name__)


class TextDataModule(LightningDataModule, ABC):
    """Tokenised, packed, shuffled and resumable batches of a corpus.

    The objective says by its `view` whether it wants running text or pairs. Without a trainer, call `setup_for`.

    Args:
        tokenizer: makes the tokenizer source.
        max_length: most tokens of a sequence, `[CLS]` and `[SEP]` included, at least 8.
        batch_tokens: most tokens of a batch of running text.
        batch_pairs: most pairs of a batch of pairs.
        num_workers: processes that read ahead; 0 is fast enough unless the model takes a millisecond a step.
        seed: seed of the order of the training batches.
        cache_dir: root of the caches; None takes `ZOO_CACHE` or the user's cache folder.

    Raises:
        ValueError: if `max_length` is too small.
    """

    views: ClassVar[tuple[type, ...]] = (TextView, PairView)

    def __init__(
        self,
        tokenizer: Callable[[], TokenizerSource],
        max_length: int,
        batch_tokens: int = 8192,
        batch_pairs: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        if max_length < _SHORTEST:
            raise ValueError(f"max_length={max_length} leaves no room for text: set at least {_SHORTEST}")
        self.tokenizer_source = tokenizer()
        self.max_length = max_length
        self.batch_tokens = batch_tokens
        self.batch_pairs = batch_pairs
        self.num_workers = num_workers
        self.seed = seed
        self.root = cache_root(cache_dir)
        self.view: DataView | None = None
        self._tokenizer: Tokenizer | None = None
        self._datasets: dict[str, Windows | Pairs] = {}
        self._description: dict[str, Any] = {}

    @abstractmethod
    def load_corpus(self) -> Corpus:
        """Read the corpus; called once."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, there after `prepare_data` or `setup`."""
        if self._tokenizer is None:
            raise RuntimeError("the tokenizer is there after prepare_data(), setup() or setup_for(view)")
        return self._tokenizer

    @property
    def vocabulary(self) -> Vocabulary:
        """Size and special ids of the tokenizer."""
        return vocabulary_of(self.tokenizer)

    @property
    def description(self) -> dict[str, Any]:
        """What a record says of the data (JSON): name, content hash, tokenizer, counts of each split."""
        return dict(self._description)

    def token_counts(self) -> NDArray[np.int64]:
        """How often each token occurs in the training texts: (V,)."""
        dataset = self._dataset("train")
        caches = dataset.caches if isinstance(dataset, Pairs) else [dataset.cache]
        counts: NDArray[np.int64] = np.sum([cache.counts(self.vocabulary.size) for cache in caches], axis=0)
        return counts

    def prepare_data(self) -> None:
        """Read, train the tokenizer and tokenise, unless the cache holds it all."""
        self.setup_for(self._view_of_trainer())

    def setup(self, stage: str) -> None:
        """Open the caches."""
        self.setup_for(self._view_of_trainer())

    def setup_for(self, view: DataView, stage: str | None = None) -> None:
        """Make the loaders give what `view` asks for; all splits are opened whatever the `stage`.

        Raises:
            ValueError: if this data cannot give that view, or a split is empty.
        """
        if view == self.view:
            return
        if not isinstance(view, self.views):
            raise ValueError(_refusal(type(self).__name__, view))
        corpus = self.load_corpus()
        self._tokenizer = self._build_tokenizer(corpus)
        self._datasets = {split: self._open(corpus, view, split) for split in SPLITS}
        self._description = self._describe(corpus)
        self.view = view

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled training batches, resumable in mid-epoch; those of the first epoch again where one overfits."""
        overfit = self.trainer is not None and getattr(self.trainer, "overfit_batches", 0) > 0
        return self._loader("train", self._sampler("train", reshuffle=not overfit))

    def val_dataloader(self) -> ResumableLoader:
        """Validation batches, the same in each epoch and for every seed."""
        return self._loader("validation", self._sampler("validation", reshuffle=False))

    def test_dataloader(self) -> ResumableLoader:
        """Test batches, the same for every seed."""
        return self._loader("test", self._sampler("test", reshuffle=False))

    def predict_dataloader(self) -> ResumableLoader:
        """Test batches in the order of the corpus, or of its columns where it is laid out in columns."""
        dataset = self._dataset("test")
        if isinstance(dataset, ContiguousWindows):
            return self._loader("test", self._sampler("test", reshuffle=False))
        starts = dataset.starts if isinstance(dataset, MixedPairs) else ()
        return self._loader("test", SequentialSampler(dataset.lengths, self.batch_tokens, *self._rank(), starts))

    def windows(self, cache: TokenCache) -> Windows:
        """How the texts of a split are cut into sequences; a subclass may cut them otherwise."""
        return TextWindows(cache, self.max_length)

    def pairs(self, corpus: Corpus, view: PairView, split: str) -> Pairs:
        """The pairs of a split; a subclass may read them otherwise."""
        return self.read_pairs(corpus, view, split)

    def read_pairs(self, corpus: Corpus, view: PairView, split: str) -> TextPairs:
        """Tokenise the pairs of a split of one source.

        Raises:
            ValueError: if there are none, or only one to train on.
        """
        queries = self._tokens(corpus, split, "query", view.query_prefix)
        documents = self._tokens(corpus, split, "document", view.document_prefix)
        negatives = self._tokens(corpus, split, "negative", view.document_prefix) if corpus.num_negatives else None
        scores = _scores(corpus, split) if corpus.has_scores else None
        pairs = TextPairs(queries, documents, self.max_length, negatives, scores)
        _check_size(pairs, split, corpus.name)
        if len(pairs) == 1 and split == "train":
            raise ValueError(
                f"the train split of {corpus.name} has one pair, whose query has nothing to choose from: add pairs, "
                "or leave the source out"
            )
        return pairs

    def _dataset(self, split: str) -> Windows | Pairs:
        if not self._datasets:
            raise RuntimeError("call setup_for(view) before asking for a data loader")
        return self._datasets[split]

    def _sampler(self, split: str, reshuffle: bool) -> BatchSampler:
        dataset = self._dataset(split)
        seed = self.seed if split == "train" else 0
        if isinstance(dataset, ContiguousWindows):
            return ContiguousSampler(dataset.num_windows, dataset.columns, *self._rank())
        if isinstance(dataset, TextWindows):
            return TokenBudgetSampler(dataset.lengths, self.batch_tokens, seed, *self._rank(), reshuffle)
        if isinstance(dataset, MixedPairs):
            sources = [self._pair_sampler(member, seed, reshuffle) for member in dataset.members]
            return MixtureSampler(sources, dataset.temperature)
        return self._pair_sampler(dataset, seed, reshuffle)

    def _pair_sampler(self, pairs: TextPairs, seed: int, reshuffle: bool) -> PairSampler:
        queries, documents = (cache.distinct(pairs.rows) for cache in pairs.caches)
        return PairSampler(queries, documents, self.batch_pairs, seed, *self._rank(), reshuffle)

    def _loader(self, split: str, sampler: BatchSampler) -> ResumableLoader:
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return ResumableLoader(self._dataset(split), sampler, self.num_workers, pin_memory=on_gpu)

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def _view_of_trainer(self) -> DataView:
        assert self.trainer is not None, "setup_for(view) is for use without a trainer"
        view = getattr(self.trainer.lightning_module, "view", None)
        if not isinstance(view, TextView | PairView):
            name = type(self.trainer.lightning_module).__name__
            raise ValueError(f"{name} has no `view`: set it to TextView() or PairView() of zoo.contracts")
        return view

    def _build_tokenizer(self, corpus: Corpus) -> Tokenizer:
        """The tokenizer out of the cache, or a new one."""
        key = self.tokenizer_source.key
        path = self.root / "tokenizers" / f"{content_key(corpus.content_hash, key)}.json"
        if not path.exists():
            with building(path.parent):
                if not path.exists():
                    _log.info("building the tokenizer %s", key)
                    built = self.tokenizer_source.build(corpus.tokenizer_texts())
                    with atomic_path(path) as partial:
                        built.save(str(partial))
        return Tokenizer.from_file(str(path))

    def _open(self, corpus: Corpus, view: DataView, split: str) -> Windows | Pairs:
        dataset: Windows | Pairs
        if isinstance(view, PairView):
            dataset = self.pairs(corpus, view, split)
        else:
            dataset = self.windows(self._tokens(corpus, split, "text"))
        _check_size(dataset, split, corpus.name)
        if dataset.num_empty:
            _log.info("dropped %d texts of the %s split that have no tokens", dataset.num_empty, split)
        return dataset

    def _tokens(self, corpus: Corpus, split: str, column: str, prefix: str = "") -> TokenCache:
        fingerprint = content_key(self.tokenizer.to_str())
        key = content_key(corpus.content_hash, fingerprint, split, column, prefix)
        texts = _Prefixed(corpus, split, column, prefix)
        return open_token_cache(self.root / "tokens" / key, texts, self.tokenizer, f"{split} {column}s")

    def _describe(self, corpus: Corpus) -> dict[str, Any]:
        return {
            "data": type(self).__name__,
            "name": corpus.name,
            "content_hash": corpus.content_hash,
            "tokenizer": self.tokenizer_source.key,
            "tokenizer_hash": content_key(self.tokenizer.to_str()),
            "vocab_size": self.vocabulary.size,
            "max_length": self.max_length,
            "splits": {split: _counts(dataset) for split, dataset in self._datasets.items()},
            **corpus.facts,
        }


class _Prefixed:
    """Texts of a column with a prefix before each, as often as they are asked for."""

    def __init__(self, corpus: Corpus, split: str, column: str, prefix: str) -> None:
        self.corpus, self.split, self.column, self.prefix = corpus, split, column, prefix

    def __iter__(self) -> Iterator[str]:
        return (self.prefix + text if text else text for text in self.corpus.column(self.column, self.split))


def _counts(dataset: Windows | Pairs) -> dict[str, Any]:
    """Counts of a split; tokens are those of the text, without the special ones."""
    if isinstance(dataset, Pairs):
        return dataset.counts
    lengths = dataset.cache.lengths
    return {
        "documents": dataset.num_texts,
        "tokens": int(lengths.sum()) - 2 * len(lengths),
        "bytes": dataset.cache.num_bytes,
        "windows": len(dataset),
        "dropped_empty": dataset.num_empty,
    }


def _scores(corpus: Corpus, split: str) -> NDArray[np.float32]:
    scores = np.fromiter(corpus.scores(split), np.float32)
    return scores.reshape(-1, 1 + corpus.num_negatives)


def _check_size(dataset: Windows | Pairs, split: str, name: str) -> None:
    if not len(dataset):
        raise ValueError(f"split {split!r} of {name} is empty: use more data, or choose other splits")


def _refusal(name: str, view: DataView) -> str:
    if isinstance(view, PairView):
        return f"{name} has no pairs of query and document: use PairData or PydocCorpus with this objective"
    return f"{name} has no running text: use TextCorpus or PydocCorpus with this objective"
