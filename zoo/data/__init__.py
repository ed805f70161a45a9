"""Data modules: what a run is trained and scored on."""

from zoo.data.pair_data import PairData
from zoo.data.pair_mixture import PairMixture
from zoo.data.pair_source import PairSource
from zoo.data.pydoc_corpus import PydocCorpus
from zoo.data.text_corpus import TextCorpus, TextSource
from zoo.data.text_data_module import TextDataModule
from zoo.data.tokenizers import ByteLevelBPE, PretrainedTokenizer, TokenizerSource, WordLevel, WordPiece

__all__ = [
    "ByteLevelBPE",
    "PairData",
    "PairMixture",
    "PairSource",
    "PretrainedTokenizer",
    "PydocCorpus",
    "TextCorpus",
    "TextDataModule",
    "TextSource",
    "TokenizerSource",
    "WordLevel",
    "WordPiece",
]
