from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from zoo.contracts import PackedBatch, PairBatch, PairView
from zoo.data import ByteLevelBPE, PairData, PairMixture, PairSource

Write = Callable[[str, list[str]], Path]


def decoded(packed: PackedBatch, tokenizer: Tokenizer) -> list[str]:
    return [tokenizer.decode(packed.tokens[a:b].tolist()) for a, b in pairwise(packed.cu_seqlens.tolist())]


def rows_of(name: str, count: int, negatives: int = 0) -> list[str]:
    rows = []
    for number in range(count):
        row: dict[str, object] = {"query": f"{name} q{number}", "document": f"{name} d{number}"}
        if negatives:
            row |= {"negatives": [f"{name} n{number} x{place}" for place in range(negatives)]}
        rows.append(json.dumps(row))
    return rows


def batches(data: PairMixture | PairData, split: str = "train") -> Iterator[PairBatch]:
    loader = {"train": data.train_dataloader, "validation": data.val_dataloader, "predict": data.predict_dataloader}
    for batch in loader[split]():
        assert isinstance(batch, PairBatch)
        yield batch


@pytest.fixture
def mixture(write_lines: Write, tmp_path: Path) -> PairMixture:
    """Source `big` of 300 pairs with negatives, source `small` of 100 without, and prefixes of its own."""
    big = write_lines("big.jsonl", rows_of("big", 300, negatives=4))
    small = write_lines("small.jsonl", rows_of("small", 100))
    sources = [PairSource(str(big), num_negatives=2), PairSource(str(small), query_prefix="topic ")]
    return PairMixture(sources, 2.0, ByteLevelBPE, batch_pairs=16, cache_dir=str(tmp_path / "cache"))


def test_batches_are_of_one_source_with_its_negatives_and_prefixes(mixture: PairMixture) -> None:
    mixture.setup_for(PairView("find ", "text "))
    seen = {"big": 0, "small": 0}
    for split in ("train", "validation", "predict"):
        for batch in batches(mixture, split):
            queries, documents = (decoded(side, mixture.tokenizer) for side in (batch.queries, batch.documents))
            (name,) = {query.split()[1] for query in queries}
            seen[name] += 1
            assert batch.num_negatives == (2 if name == "big" else 0)
            numbers = [query.split()[2][1:] for query in queries]
            expected = [f"text {name} d{number}" for number in numbers]
            if name == "big":
                expected += [f"text big n{number} x{place}" for number in numbers for place in range(2)]
            assert documents == expected
            prefix = "find" if name == "big" else "topic"
            assert all(query.startswith(f"{prefix} {name} q") for query in queries)
    assert min(seen.values()) > 3


def test_description_counts_each_source(mixture: PairMixture) -> None:
    mixture.setup_for(PairView())
    splits = mixture.description["splits"]
    assert sum(split["pairs"] for split in splits.values()) == 400
    each = [[split["sources"][number]["pairs"] for split in splits.values()] for number in range(2)]
    assert [sum(counts) for counts in each] == [300, 100]
    assert splits["train"]["negatives"] == 2 * each[0][0]
    assert len(mixture.description["sources"]) == 2
    assert mixture.token_counts().sum() > 0


def test_a_source_alone_is_as_in_pair_data(write_lines: Write, tmp_path: Path) -> None:
    source = PairSource(str(write_lines("big.jsonl", rows_of("big", 300, negatives=3))), num_negatives=3)
    options: dict[str, Any] = {"batch_pairs": 16, "cache_dir": str(tmp_path / "cache")}
    found = []
    for data in (PairData(source, **options), PairMixture([source], **options)):
        data.setup_for(PairView())
        sides = [decoded(batch.documents, data.tokenizer) for batch in batches(data)]
        found.append(sorted(text for side in sides for text in side))
        assert data.description["splits"]["train"]["negatives"] == 3 * data.description["splits"]["train"]["pairs"]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("rows", "num_negatives", "message"),
    [
        (rows_of("a", 1), 0, "the train split of .* has one pair"),
        ([], 0, "the train split of .* is empty"),
        (rows_of("a", 9, negatives=2), 3, "line 1: column 'negatives' holds 2 values, not 3: lower num_negatives"),
        (rows_of("a", 9), 1, "has no column 'negatives'"),
        ([json.dumps({"query": "a", "document": None})] * 9, 0, "line 1: column 'document' holds NoneType, not text"),
        ([json.dumps({"query": "a", "document": "b", "negatives": "c"})] * 9, 1, "holds str, not a list"),
        ([json.dumps({"query": "a", "document": ""})] * 9, 0, "split 'train' of .* is empty"),
    ],
)
def test_sources_that_cannot_be_used(
    rows: list[str], num_negatives: int, message: str, write_lines: Write, tmp_path: Path
) -> None:
    good = write_lines("good.jsonl", rows_of("good", 200))
    for split in ("validation", "test"):
        write_lines(f"bad-{split}.jsonl", rows_of("bad", 5, negatives=5))
    bad = str(write_lines("bad-train.jsonl", rows)).replace("bad-train", "bad-*")
    sources = [PairSource(str(good)), PairSource(bad, num_negatives=num_negatives)]
    for data in (
        PairMixture(sources, tokenizer=ByteLevelBPE, cache_dir=str(tmp_path / "cache")),
        PairData(sources[1], ByteLevelBPE, cache_dir=str(tmp_path / "cache")),
    ):
        with pytest.raises(ValueError, match=message):
            data.setup_for(PairView())


def test_options_out_of_range() -> None:
    with pytest.raises(ValueError, match="sources is empty"):
        PairMixture([])
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="temperature must be above 0"):
            PairMixture([PairSource("x.jsonl")], temperature)
    with pytest.raises(ValueError, match="num_negatives must be at least 0"):
        PairSource("x.jsonl", num_negatives=-1)


def test_negatives_in_parquet_and_in_a_hub_folder(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "query": [f"q{n}" for n in range(60)],
            "document": [f"d{n}" for n in range(60)],
            "hard": [[f"n{n}", f"m{n}"] for n in range(60)],
        }
    )
    folder = tmp_path / "hub"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        pq.write_table(table, folder / f"{split}.parquet")
    for place in ("files", "hub"):
        if place == "hub":
            (folder / "README.md").write_text("# A data set of the hub\n")
        source = PairSource(str(folder), num_negatives=1, negatives="hard")
        data = PairData(source, ByteLevelBPE, batch_pairs=8, cache_dir=str(tmp_path / place))
        data.setup_for(PairView())
        for batch in batches(data):
            texts = decoded(batch.documents, data.tokenizer)
            assert [text[1:] for text in texts[: len(texts) // 2]] == [text[1:] for text in texts[len(texts) // 2 :]]
            assert {text[0] for text in texts[len(texts) // 2 :]} == {"n"}


def test_scores_of_a_teacher_stand_beside_their_pairs(write_lines: Write, tmp_path: Path) -> None:
    rows = [json.loads(row) for row in rows_of("a", 40, negatives=3)]
    lines = [json.dumps(row | {"scores": [number, 0.5, -number, 9]}) for number, row in enumerate(rows)]
    source = PairSource(str(write_lines("a.jsonl", lines)), num_negatives=2, scores="scores")
    data = PairData(source, ByteLevelBPE, batch_pairs=8, cache_dir=str(tmp_path / "cache"))
    data.setup_for(PairView())
    seen = 0
    for batch in batches(data):
        assert batch.scores is not None
        numbers = [float(query.split()[1][1:]) for query in decoded(batch.queries, data.tokenizer)]
        assert batch.scores.tolist() == [[number, 0.5, -number] for number in numbers]
        seen += len(numbers)
    assert seen > 20


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0, 0.5], r"column 'scores' holds 2 values, not 3"),
        ([1.0, "high", 0.5], r"row 1 of the .* split has the score 'high', which is no finite number"),
        ([1.0, math.inf, 0.5], r"the score 'inf'"),
    ],
)
def test_scores_that_cannot_be_used(write_lines: Write, tmp_path: Path, scores: list[object], message: str) -> None:
    rows = [json.dumps(json.loads(row) | {"scores": scores}) for row in rows_of("a", 200, negatives=2)]
    source = PairSource(str(write_lines("a.jsonl", rows)), num_negatives=2, scores="scores")
    data = PairData(source, ByteLevelBPE, batch_pairs=8, cache_dir=str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=message):
        data.setup_for(PairView())


def test_scores_without_negatives_compare_nothing() -> None:
    with pytest.raises(ValueError, match="set num_negatives too"):
        PairSource("a.jsonl", scores="scores")
