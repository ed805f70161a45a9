"""Where pairs of texts come from, and their rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from zoo.contracts import PairView
from zoo.data.corpus import SPLITS, Corpus
from zoo.data.files import Column, ListColumn
from zoo.data.rows import SplitRows, open_rows


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
        num_negatives: hard negatives of each query, taken from the beginning of its list.
        negatives: column of these lists, as `zoo mine` writes it; read only where num_negatives is above 0.
        scores: column of lists with a teacher's score of the document and of each negative, for `Distillation`, as
            `zoo mine` writes it; null reads none.
        query_prefix: put before its queries, trailing space included, such as `clustering: `; null is the objective's.
        document_prefix: the same for its documents and negatives.

    Raises:
        ValueError: if `num_negatives` is below 0, or there are scores but no negatives.
    """

    path: str
    query: str = "query"
    document: str = "document"
    id: str | None = None
    config: str | None = None
    num_negatives: int = 0
    negatives: str = "negatives"
    scores: str | None = None
    query_prefix: str | None = None
    document_prefix: str | None = None

    def __post_init__(self) -> None:
        if self.num_negatives < 0:
            raise ValueError(f"num_negatives must be at least 0, not {self.num_negatives}")
        if self.scores is not None and not self.num_negatives:
            raise ValueError(f"scores: {self.scores} compares a document with hard negatives: set num_negatives too")

    def view(self, asked: PairView) -> PairView:
        """What the objective asked for, with the prefixes of this source where it has some."""
        query = asked.query_prefix if self.query_prefix is None else self.query_prefix
        document = asked.document_prefix if self.document_prefix is None else self.document_prefix
        return PairView(query, document)


class PairCorpus(Corpus):
    """The pairs of a source, with hard negatives and scores where it has some.

    Args:
        source: where they are.

    Raises:
        FileNotFoundError: if nothing is found at the path.
        ValueError: if a column is missing, an id occurs twice, a split is empty, or a row has too few negatives.
    """

    def __init__(self, source: PairSource) -> None:
        columns: list[Column] = [source.query, source.document]
        if source.num_negatives:
            columns.append(ListColumn(source.negatives, source.num_negatives))
        if source.scores:
            columns.append(ListColumn(source.scores, 1 + source.num_negatives))
        if source.id:
            columns.append(source.id)
        self.rows = open_rows(source.path, source.config, columns)
        if source.id:
            _check_ids(self.rows, source.id)
        self.name = self.rows.name
        self.content_hash = self.rows.content_hash
        self.facts = {"splits_cut_off_training": list(self.rows.cut)}
        self.num_negatives = source.num_negatives
        self.has_scores = source.scores is not None

    def column(self, name: str, split: str) -> Iterable[str]:
        """See `Corpus`."""
        if name == "negative":
            return (text for row in self.rows.readers[split]() for text in row[2 : 2 + self.num_negatives])
        place = ("query", "document").index(name)
        return (row[place] for row in self.rows.readers[split]())

    def scores(self, split: str) -> Iterable[float]:
        """See `Corpus`."""
        first = 2 + self.num_negatives
        for number, row in enumerate(self.rows.readers[split](), start=1):
            for value in row[first : first + 1 + self.num_negatives]:
                yield _score(value, f"{self.name}: row {number} of the {split} split")

    def tokenizer_texts(self) -> Iterable[str]:
        """Queries and documents of the training split."""
        return (text for row in self.rows.readers["train"]() for text in row[:2])


def _score(value: str, where: str) -> float:
    try:
        score = float(value)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"{where} has the score {value!r}, which is no finite number: correct or remove it")
    return score


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
