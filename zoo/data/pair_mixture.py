"""Pairs of texts from many sources, one source a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from zoo.contracts import PairView
from zoo.data.cache import content_key
from zoo.data.corpus import Corpus
from zoo.data.mixed_pairs import MixedPairs
from zoo.data.pair_source import PairCorpus, PairSource
from zoo.data.text_data_module import TextDataModule
from zoo.data.tokenizers import ByteLevelBPE, TokenizerSource


class PairMixture(TextDataModule):
    """Pairs from several sources; a batch, with those of the other processes at the same step, is from one of them.

    An epoch has as many steps as all sources have together, `S = sum_i s_i` with s_i steps to read source i once. Of
    these, source i gets `S s_i^(1/t) / sum_j s_j^(1/t)`, rounded at random to the number above or below, in random
    order. At t = 1 every pair occurs once an epoch; the higher t, the more alike the shares. A source that is read more
    than once is shuffled anew each time; of one that is read less than once, each epoch takes other pairs. Validation
    and test are at t = 1.

    Args:
        sources: where the pairs come from; each as the `source` of `PairData`.
        temperature: t, above 0; `.inf` gives all sources the same share.
        tokenizer: source of the tokenizer, which is trained on all sources.
        max_length: most tokens of a text, `[CLS]` and `[SEP]` included; longer texts are cut off.
        batch_pairs: most pairs of a batch.
        num_workers: processes that read ahead.
        seed: seed of the order of the training batches.
        cache_dir: root of the caches; null takes ZOO_CACHE or the user's cache folder.

    Raises:
        FileNotFoundError: if nothing is found at a path.
        ValueError: if there is no source, the temperature is not above 0, or a source cannot be used by `PairData`.

    References:
        Nussbaum and Duderstadt, arXiv 2502.07972, for one source a batch; Conneau and Lample, arXiv 1901.07291, section
        3.1, for the exponent 1/t.
    """

    views = (PairView,)

    def __init__(
        self,
        sources: list[PairSource],
        temperature: float = 1.0,
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
        if not sources:
            raise ValueError("sources is empty: name at least one, such as {path: pairs.jsonl}")
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, not {temperature}: 1 draws sources by size, .inf all alike")
        self.sources = sources
        self.temperature = temperature

    def load_corpus(self) -> Corpus:
        """Find and read all sources."""
        return _Mixture([PairCorpus(source) for source in self.sources])

    def pairs(self, corpus: Corpus, view: PairView, split: str) -> MixedPairs:
        """The pairs of a split, each source with its prefixes."""
        assert isinstance(corpus, _Mixture)
        members = [
            self.read_pairs(member, source.view(view), split)
            for source, member in zip(self.sources, corpus.members, strict=True)
        ]
        return MixedPairs(members, self.temperature if split == "train" else 1.0)


class _Mixture(Corpus):
    def __init__(self, members: Sequence[PairCorpus]) -> None:
        self.members = members
        self.name = ", ".join(member.name for member in members)
        self.content_hash = content_key(*(member.content_hash for member in members))
        self.facts = {
            "sources": [{"name": m.name, "content_hash": m.content_hash, **m.facts} for m in members],
        }

    def column(self, name: str, split: str) -> Iterable[str]:
        return chain.from_iterable(member.column(name, split) for member in self.members)

    def tokenizer_texts(self) -> Iterable[str]:
        return chain.from_iterable(member.tokenizer_texts() for member in self.members)
