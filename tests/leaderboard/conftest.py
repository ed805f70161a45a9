from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bench.records import Axes, DataCheck, Evaluation, ModelInfo, Parameters, Record, Scores, TaskInfo, write
from leaderboard.aggregate import Board, aggregate
from leaderboard.build import build
from leaderboard.load import Refusal, Results

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"

MakeRecord = Callable[..., Record]

TASKS = {
    "PydocRetrieval": ("Retrieval", "pydoc", "ndcg_at_10", True),
    "PydocClassification": ("Classification", "pydoc", "accuracy", True),
    "PydocBits": ("LanguageModelling", "lm", "bits_per_byte", False),
    "SciFact": ("Retrieval", "mteb", "ndcg_at_10", True),
}


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_model(name: str, seed: int = 0, **changes: Any) -> ModelInfo:
    total = 1_000_000 * (1 + len(name))
    model = ModelInfo(
        name=name,
        parts={"weights": _sha(f"{name} {seed}"), "dtype": "float32"},
        kind="zoo",
        dtype="float32",
        parameters=Parameters(total, total // 2, total // 2, 0),
        bytes=4 * total,
        dim=128,
        max_length=256,
        prompts={"query": "query: "},
        axes=Axes("MaskedLM", "FullEmbedding", "DenseEncoder", "SoftmaxHead", "AdamW", None, "PydocCorpus"),
        config={"model": {"class_path": "MaskedLM", "init_args": {"embedding": "FullEmbedding"}}, "seed": seed},
        training={
            "commit": "c0ffee",
            "dirty": False,
            "versions": {"torch": "2.13.0"},
            "device": "cpu",
            "seed": seed,
            "config_hash": "abc123",
            "tokens_seen": 1_000_000,
            "seconds": 61.5,
        },
    )
    return replace(model, **changes)


def lexical(name: str = "bm25") -> ModelInfo:
    nothing: Mapping[str, Any] = {"parameters": None, "dim": None, "axes": None, "config": None, "training": None}
    return make_model(name, kind="lexical", **nothing)


@pytest.fixture(scope="session")
def evil() -> str:
    return EVIL


@pytest.fixture(scope="session")
def model() -> Callable[..., ModelInfo]:
    return make_model


@pytest.fixture(scope="session")
def make_record() -> MakeRecord:
    def make(model: str | ModelInfo, task: str, main: float, **changes: Any) -> Record:
        kind, suite, metric, higher = TASKS[task]
        info = TaskInfo(
            name=task,
            type=kind,
            suite=suite,
            dataset=f"owner/{task.lower()}",
            revision=_sha(task)[:40],
            split="test",
            subset="default",
            metric=metric,
            higher_is_better=higher,
            languages=("eng-Latn",),
            scoring="mteb 2.26.24",
            rows=_sha(f"rows of {task}"),
            check=DataCheck("official"),
        )
        evaluation = Evaluation(
            started="2026-01-02T03:04:05+00:00",
            seconds=12.5,
            encode_seconds=2.0,
            texts=600,
            texts_encoded=500,
            devices=1,
            hardware={"cpu": "Test CPU", "threads": 2},
            versions={"mteb": "2.26.0"},
            commit="c0ffee",
            dirty=False,
        )
        scores = Scores(main, {metric: main, "map_at_10": main / 3})
        known = make_model(model) if isinstance(model, str) else model
        return Record(known, replace(info, **changes), scores, evaluation)

    return make


@pytest.fixture(scope="session")
def sample(make_record: MakeRecord) -> list[Record]:
    """Full and tied have all; bm25 what applies; two revisions of one name; a hostile name."""
    tied = make_model(
        "tied", axes=Axes("MaskedLM", "TiedEmbedding", "DenseEncoder", "SoftmaxHead", "AdamW", None, None)
    )
    return [
        make_record("full", "PydocRetrieval", 0.6123456789012345),
        make_record("full", "PydocClassification", 0.5),
        make_record("full", "PydocBits", 1.25),
        make_record(tied, "PydocRetrieval", 0.3),
        make_record(tied, "PydocClassification", 0.7),
        make_record(tied, "PydocBits", 1.5),
        make_record(lexical(), "PydocRetrieval", 0.7),
        make_record(make_model("twin", 1), "PydocRetrieval", 0.2),
        make_record(make_model("twin", 2), "PydocRetrieval", 0.1),
        make_record(EVIL, "PydocClassification", 0.7),
        make_record("full", "SciFact", 0.0),
    ]


class Page(HTMLParser):
    """What a browser without scripts sees: rows of cells, tags, attributes and the text of each element."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._cell = False
        self._raw = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._raw = tag == "script"
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")
        self._raw = False

    def handle_data(self, data: str) -> None:
        if self._raw:
            return
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data

    def attributes(self, name: str) -> list[str]:
        """Every value of an attribute."""
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]


@pytest.fixture(scope="session")
def parse() -> Callable[[str], Page]:
    return Page


@pytest.fixture(scope="session")
def board(sample: list[Record]) -> Board:
    return aggregate(Results(tuple(sample), (Refusal("a/b/<i>.json", "cut off"),)))


@pytest.fixture(scope="session")
def site(sample: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built site; one file of its results is broken."""
    folder = tmp_path_factory.mktemp("leaderboard")
    for record in sample:
        broken = write(record, folder / "results")
    broken.with_name("Broken.json").write_text("{", encoding="utf-8")
    build(folder / "results", folder / "site")
    return folder / "site"


@pytest.fixture
def results(tmp_path: Path, sample: list[Record]) -> Path:
    folder = tmp_path / "results"
    for record in sample:
        write(record, folder)
    return folder
