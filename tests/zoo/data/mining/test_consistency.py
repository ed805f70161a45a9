from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.data import PairSource
from zoo.data.mining import consistency, filter_pairs
from zoo.data.mining.pair_texts import PairTexts

Rows = list[dict[str, Any]]
SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks and pieces of tiny data."""
    monkeypatch.setattr(consistency, "_QUERIES", 7)
    monkeypatch.setattr(consistency, "_DOCUMENTS", 11)


def stays(pair: tuple[str, str], shard: list[tuple[str, str]], teacher: Any, top_k: int) -> bool:
    def score(document: str) -> float:
        a, b = teacher.vector(pair[0]).astype(float), teacher.vector(document).astype(float)
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    ranked = sorted({document for _, document in shard}, key=score, reverse=True)
    return pair[1] in ranked[:top_k]


@pytest.mark.parametrize(("top_k", "shard_pairs"), [(1, 1000), (3, 1000), (2, 25)])
def test_as_by_brute_force(
    top_k: int, shard_pairs: int, source_folder: Path, teacher: Any, read_rows: Callable[[Path], Rows], tmp_path: Path
) -> None:
    model, out = teacher(), tmp_path / "out"
    texts = PairTexts.read(PairSource(str(source_folder)))
    shards = [
        [(texts.queries[q], texts.documents[d]) for q, d in shard.tolist()]
        for shard in consistency.shards(texts, shard_pairs)
    ]
    assert sum(map(len, shards)) == len(texts.pairs["train"])
    assert len(shards) == -(-len(texts.pairs["train"]) // shard_pairs)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    facts = filter_pairs(PairSource(str(source_folder)), model, out, top_k, shard_pairs, str(tmp_path / "cache"))
    kept = [pair for shard in shards for pair in shard if stays(pair, shard, model, top_k)]
    assert [(row["query"], row["document"]) for row in read_rows(out / "train.jsonl")] == kept
    assert facts["pairs"]["train"] == {"read": len(texts.pairs["train"]), "written": len(kept)}
    assert 0 < len(kept) < len(texts.pairs["train"]), "else the test shows nothing"
    for split in SPLITS[1:]:
        assert read_rows(out / f"{split}.jsonl") == read_rows(source_folder / f"{split}.jsonl")


def test_shards_do_not_depend_on_the_order_of_rows(
    source_folder: Path, teacher: Any, write_rows: Any, read_rows: Callable[[Path], Rows], tmp_path: Path
) -> None:
    written = []
    for number in range(2):
        out = tmp_path / f"out{number}"
        filter_pairs(PairSource(str(source_folder)), teacher(), out, 2, 25, str(tmp_path / "cache"))
        written.append((out / "train.jsonl").read_bytes())
        rows = read_rows(source_folder / "train.jsonl")
        random.Random(0).shuffle(rows)
        write_rows("train", rows)
    assert written[0] == written[1]


@pytest.mark.parametrize("dies_at", [1, 4, 20])
def test_goes_on_after_it_was_killed(
    dies_at: int, source_folder: Path, teacher: Any, killed: type[BaseException], tmp_path: Path
) -> None:
    source = PairSource(str(source_folder))
    filter_pairs(source, teacher(), tmp_path / "whole", 2, 25, str(tmp_path / "cache1"))
    with pytest.raises(killed):
        filter_pairs(source, teacher(dies_at=dies_at), tmp_path / "out", 2, 25, str(tmp_path / "cache2"))
    assert not (tmp_path / "out").exists()
    filter_pairs(source, teacher(), tmp_path / "out", 2, 25, str(tmp_path / "cache2"))
    for file in (tmp_path / "whole").iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


def test_options_out_of_range(source_folder: Path, teacher: Any, tmp_path: Path) -> None:
    for top_k, shard_pairs in ((0, 10), (1, 1)):
        with pytest.raises(ValueError, match="top_k must be at least 1 and shard_pairs at least 2"):
            filter_pairs(PairSource(str(source_folder)), teacher(), tmp_path / "out", top_k, shard_pairs)
