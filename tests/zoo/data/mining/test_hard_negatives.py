from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from zoo.contracts import PackedBatch, PairBatch, PairView
from zoo.data import ByteLevelBPE, PairData, PairSource
from zoo.data.mining import hard_negatives, mine_negatives

Rows = list[dict[str, Any]]
SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks and pieces of tiny data."""
    monkeypatch.setattr(hard_negatives, "_QUERIES", 7)
    monkeypatch.setattr(hard_negatives, "_DOCUMENTS", 11)


def decoded(packed: PackedBatch, tokenizer: Tokenizer) -> list[str]:
    return [tokenizer.decode(packed.tokens[a:b].tolist()) for a, b in pairwise(packed.cu_seqlens.tolist())]


def brute_force(folder: Path, read_rows: Any, teacher: Any, number: int, margin: float) -> dict[str, list[str]]:
    """Negatives by query, one query and one document at a time."""
    rows = {split: read_rows(folder / f"{split}.jsonl") for split in SPLITS}
    own = defaultdict(set)
    for row in (row for part in rows.values() for row in part):
        own[row["query"]].add(row["document"])
    candidates = list(dict.fromkeys(row["document"] for row in rows["train"]))

    def score(query: str, document: str) -> float:
        a, b = teacher.vector(query).astype(float), teacher.vector(document).astype(float)
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    found = {}
    for query, documents in own.items():
        limit = margin * min(score(query, document) for document in documents)
        accepted = [d for d in candidates if d not in documents and score(query, d) < limit]
        best = sorted(accepted, key=lambda document: -score(query, document))[:number]
        if len(best) == number:
            found[query] = best
    return found


@pytest.mark.parametrize(("number", "margin"), [(1, 0.95), (5, 0.95), (5, 0.8), (25, 1.0)])
def test_as_by_brute_force(
    number: int, margin: float, source_folder: Path, teacher: Any, read_rows: Callable[[Path], Rows], tmp_path: Path
) -> None:
    model = teacher()
    expected = brute_force(source_folder, read_rows, model, number, margin)
    out = tmp_path / "mined"
    facts = mine_negatives(PairSource(str(source_folder)), model, out, number, margin, str(tmp_path / "cache"))
    for split in SPLITS:
        given, mined = read_rows(source_folder / f"{split}.jsonl"), read_rows(out / f"{split}.jsonl")
        assert {row["query"]: row["negatives"] for row in mined} == {
            row["query"]: expected[row["query"]] for row in given if row["query"] in expected
        }
        pairs = [(row["query"], row["document"]) for row in given if row["query"] in expected]
        assert sorted((row["query"], row["document"]) for row in mined) == sorted(pairs)
        assert facts["pairs"][split] == {"read": len(given), "written": len(pairs)}
        assert all(row["scores"][1:] == sorted(row["scores"][1:], reverse=True) for row in mined)
    if number == 25:
        assert 0 < len(expected) < 60, "else the rule of too few is not tested"


def test_own_documents_are_no_negatives_in_any_row(
    write_rows: Any, teacher: Any, read_rows: Any, tmp_path: Path
) -> None:
    """Two rows of a query: the lower of its two scores decides, and a copy of a document is the same document."""
    model = teacher()
    places = {"q": [1, 0], "near": [1, 0.1], "far": [1, 1], "other": [0, 1], "between": [1, 0.8], "below": [1, 1.5]}
    model.dim, model.given = 2, {text: np.array(vector, np.float32) for text, vector in places.items()}
    rows = [("q", "near"), ("q", "far"), ("x", "other"), ("y", "between"), ("z", "below"), ("x", "near")]
    model.given |= {text: np.array([0.5, 0.5], np.float32) for text in "xyz"}
    write_rows("validation", [{"query": "v", "document": "far"}])
    write_rows("test", [{"query": "v", "document": "far"}])
    model.given["v"] = np.array([1, 1], np.float32)
    path = write_rows("train", [{"query": q, "document": d} for q, d in rows]).parent
    mine_negatives(PairSource(str(path)), model, tmp_path / "out", 2, 0.95, str(tmp_path / "cache"))
    mined = [row for row in read_rows(tmp_path / "out" / "train.jsonl") if row["query"] == "q"]
    # cosines: near .995, between .78, far .71, below .55, other 0; the limit is .95 * .71 = .67
    assert [row["document"] for row in mined] == ["near", "far"]
    assert all(row["negatives"] == ["below", "other"] for row in mined)
    assert [row["scores"] for row in mined] == [[0.995037, 0.5547, 0.0], [0.707107, 0.5547, 0.0]]


def test_equal_scores_take_the_earlier_document(write_rows: Any, teacher: Any, read_rows: Any, tmp_path: Path) -> None:
    model = teacher()
    model.dim = 2
    for number in range(30):
        model.given[f"d{number}"] = np.array([1, 1], np.float32)
        model.given[f"q{number}"] = np.array([1, 0], np.float32)
    model.given["d0"] = np.array([1, 0], np.float32)
    rows = [{"query": f"q{number}", "document": f"d{number}"} for number in range(30)]
    for split in SPLITS:
        write_rows(split, [{"query": "q0", "document": "d0"}, *rows[1:]])
    folder = write_rows("train", rows).parent
    mine_negatives(PairSource(str(folder)), model, tmp_path / "out", 3, 1.0, str(tmp_path / "cache"))
    assert read_rows(tmp_path / "out" / "train.jsonl")[0]["negatives"] == ["d1", "d2", "d3"]


@pytest.mark.parametrize("dies_at", [1, 4, 30])
def test_goes_on_after_it_was_killed(
    dies_at: int, source_folder: Path, teacher: Any, killed: type[BaseException], tmp_path: Path
) -> None:
    source = PairSource(str(source_folder))
    whole = teacher()
    mine_negatives(source, whole, tmp_path / "whole", 5, 0.95, str(tmp_path / "cache1"))
    dying, second = teacher(dies_at=dies_at), teacher()
    out, cache = tmp_path / "deep" / "out", str(tmp_path / "cache2")
    with pytest.raises(killed):
        mine_negatives(source, dying, out, 5, 0.95, cache)
    assert not out.exists()
    mine_negatives(source, second, out, 5, 0.95, cache)
    for file in (tmp_path / "whole").iterdir():
        assert (out / file.name).read_bytes() == file.read_bytes()
    assert dies_at + second.calls <= whole.calls + 12, "a piece is lost, not more"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_once_more_does_nothing_and_other_settings_are_refused(
    source_folder: Path, teacher: Any, tmp_path: Path
) -> None:
    source, out, cache = PairSource(str(source_folder)), tmp_path / "out", str(tmp_path / "cache")
    first = mine_negatives(source, teacher(), out, 5, 0.95, cache)
    idle = teacher()
    assert mine_negatives(source, idle, out, 5, 0.95, cache) == first == json.loads((out / "pairs.json").read_text())
    assert idle.calls == 0
    for options in ((4, 0.95), (5, 0.9)):
        with pytest.raises(ValueError, match="made with other settings: name another folder"):
            mine_negatives(source, teacher(), out, *options, cache)
    with pytest.raises(ValueError, match="name another folder"):
        mine_negatives(source, teacher(), source_folder, 5, 0.95, cache)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("q", "d")], "has one pair, and no other to compare with"),
        ([("q", "d"), ("r", " ")], "row 2 of the train split is a query without a document"),
        ([("q", "d"), ("", "e")], "row 2 of the train split is a document without a query"),
        ([("q", "d"), ("r", "e")], "no pair of the train split is left of 2"),
        ([], "the train split of .* is empty"),
    ],
)
def test_sources_that_cannot_be_mined(
    rows: list[tuple[str, str]], message: str, write_rows: Any, teacher: Any, tmp_path: Path
) -> None:
    for split in SPLITS:
        write_rows(split, [{"query": "q", "document": "d"}])
    folder = write_rows("train", [{"query": q, "document": d} for q, d in rows]).parent
    with pytest.raises(ValueError, match=message):
        mine_negatives(PairSource(str(folder)), teacher(), tmp_path / "out", 5, 0.95, str(tmp_path / "cache"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("number", "margin"), [(0, 0.95), (1, 0.0), (1, 1.5), (1, float("nan"))])
def test_options_out_of_range(number: int, margin: float, source_folder: Path, teacher: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at least 1, not 0|in \(0, 1\]"):
        mine_negatives(PairSource(str(source_folder)), teacher(), tmp_path / "out", number, margin)


def test_pair_data_reads_what_was_mined(
    source_folder: Path, teacher: Any, read_rows: Callable[[Path], Rows], tmp_path: Path
) -> None:
    mine_negatives(PairSource(str(source_folder)), teacher(), tmp_path / "out", 5, 0.95, str(tmp_path / "cache"))
    data = PairData(
        PairSource(str(tmp_path / "out"), num_negatives=3),
        ByteLevelBPE,
        batch_pairs=16,
        cache_dir=str(tmp_path / "cache"),
    )
    data.setup_for(PairView())
    expected = {(row["query"], row["document"]): row["negatives"] for row in read_rows(tmp_path / "out/train.jsonl")}
    for batch in data.train_dataloader():
        assert isinstance(batch, PairBatch)
        queries, documents = (decoded(side, data.tokenizer) for side in (batch.queries, batch.documents))
        assert batch.num_negatives == 3
        for number, query in enumerate(queries):
            first = len(queries) + 3 * number
            assert documents[first : first + 3] == expected[query, documents[number]][:3]
