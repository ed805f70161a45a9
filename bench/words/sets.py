"""The sets of word pairs that word vectors are usually scored on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import datasets
from datasets import Dataset

from bench.data.bundle import Bundle, dataset_name
from bench.data.loading import load_dataset
from bench.data.rows import hash_dataset
from bench.records import DataCheck
from bench.words.names import NAMES

PATH = "mfaruqui/eval-word-vectors"
REVISION = "94b3dd9fdbac7ed08dbee7179cd5ee464acf0594"  # of github.com/mfaruqui/eval-word-vectors
SPLIT = "test"

COLUMNS = ("word1", "word2", "score")
_FEATURES = datasets.Features(dict(zip(COLUMNS, map(datasets.Value, ("string", "string", "float64")), strict=True)))


@dataclass(frozen=True)
class WordSet:
    """One set.

    Args:
        name: as papers call it.
        config: its name in the tables.
        file: its name in the original repository.
        size: number of pairs.
        sha256: of its rows (`bench.data.rows.hash_dataset`).
    """

    name: str
    config: str
    file: str
    size: int
    sha256: str

    @property
    def table(self) -> str:
        """What a bundle calls it."""
        return dataset_name(PATH, self.config, SPLIT, REVISION)


_ROWS = (
    ("men-tr-3k", "EN-MEN-TR-3k.txt", 3000, "47a08bd8b870f685e3271e0bae0bbb84db499e844b5bb0c217ab910f6254403d"),
    ("rw-stanford", "EN-RW-STANFORD.txt", 2034, "d0b8929ab41968159abca11fb99e81a766b4b6a1702e167d06c82bf00840243b"),
    ("simlex-999", "EN-SIMLEX-999.txt", 999, "c2f94eaef738e96241a3fd27bc10bb9602439e2dabc67e2b27cb19762e72d2d8"),
    ("ws-353-sim", "EN-WS-353-SIM.txt", 203, "8d5b3f2b6175adccfd40fb756984308b46b30fef016a0fe99583a961e428bb41"),
    ("ws-353-rel", "EN-WS-353-REL.txt", 252, "a500d1332b9d4cfe5162c867c01f1a8d0f22231727871647c1bd4bc06dd94a7b"),
    ("rg-65", "EN-RG-65.txt", 65, "5c87c356ebc5e4b50f2c57d686131821662c2e51a9b1bd66caed94de1393de43"),
)
SETS: Mapping[str, WordSet] = {name: WordSet(name, *row) for name, row in zip(NAMES, _ROWS, strict=True)}


def load(words: WordSet, bundle: Bundle | None = None, folder: str | Path | None = None) -> Dataset:
    """The pairs of a set: columns `word1`, `word2` and `score`.

    Args:
        words: the set.
        bundle: where to take it from.
        folder: with the files of the original repository, where there is no bundle; None takes the hub.

    Raises:
        ValueError: if it is in none of them, saying where it comes from, or is damaged.
        OSError: if a file cannot be read.
    """
    if bundle is None and folder is not None:
        return read_file(Path(folder) / words.file)
    try:
        return load_dataset(PATH, words.config, split=SPLIT, revision=REVISION, bundle=bundle)
    except (FileNotFoundError, ConnectionError) as error:
        raise ValueError(
            f"{PATH} {words.config} is not on the hub that is in use ({_first_line(error)}): clone "
            "github.com/mfaruqui/eval-word-vectors and name its folder by --word-sets .../data/word-sim, or take a "
            "bundle"
        ) from error


def read_file(path: Path) -> Dataset:
    """A file of lines `word word score`, separated by tabs or spaces.

    Raises:
        ValueError: if a line is something else.
        OSError: if it cannot be read.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            first, second, score = line.split()
            rows.append((first, second, float(score)))
        except ValueError:
            raise ValueError(f"{path}, line {number}: expected two words and a number, found {line!r}") from None
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return Dataset.from_dict(dict(zip(COLUMNS, map(list, columns), strict=True)), features=_FEATURES)


def check(words: WordSet, table: Dataset) -> DataCheck:
    """Whether the rows are those of the original repository."""
    if len(table) != words.size:
        return DataCheck("deviates", f"{len(table)} pairs, not {words.size}")
    if hash_dataset(table) != words.sha256:
        return DataCheck("deviates", f"other pairs or scores than those of {words.file}")
    return DataCheck("official")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
