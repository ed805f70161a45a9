"""A search over many documents under a cap on memory, with an encoder that costs next to nothing."""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.speed import child
from zoo.peak_memory import peak_bytes

if TYPE_CHECKING:
    from bench.speed.bag_of_tokens import BagOfTokens

WORDS = 50
TOP_K = 100
# Arrow's allocator reserves a gigabyte that it never touches, and the cap counts what is reserved.
ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system"}


@dataclass(frozen=True)
class Result:
    """What a search took.

    Args:
        documents: how many were searched.
        queries: how many were asked.
        index_seconds: from the corpus to an index.
        search_seconds: from the queries to the best 100 documents of each.
        peak_bytes: highest resident set of the whole process, files that it has mapped included.
        start_bytes: the same before the corpus was indexed: Python, torch, mteb and the corpus.
    """

    documents: int
    queries: int
    index_seconds: float
    search_seconds: float
    peak_bytes: int
    start_bytes: int


def measure(documents: int = 200_000, memory: int = 2 * 2**30, queries: int = 500, *, threads: int = 2) -> Result:
    """Search in a fresh process that the system refuses more than `memory` bytes.

    Each query is the text of one document, which has to come out first.

    Args:
        documents: size of the corpus, texts of 50 words.
        memory: cap in bytes on the memory that the process may ask for (RLIMIT_DATA: heap, stacks and all private
            memory; files that it only maps do not count).
        queries: number of queries.
        threads: CPU threads.

    Raises:
        ValueError: if the process does not get by with it, or finds the wrong document.
    """
    options = ["--documents", documents, "--memory", memory, "--queries", queries]
    environment = {"OMP_NUM_THREADS": str(threads), **ENVIRONMENT}
    done = child.run(["-m", "bench.speed.search", *map(str, options)], environment)
    return Result(**json.loads(done.output))


def parse_size(text: str) -> int:
    """Bytes of a number with or without a unit of 1,024.

    Example:
        >>> parse_size("2G"), parse_size("512m"), parse_size("1000")
        (2147483648, 536870912, 1000)
    """
    form = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if form is None:
        raise ValueError(f"--memory {text}: write a number with K, M, G or T, such as 2G")
    return int(float(form[1]) * 1024 ** " KMGT".index(form[2].upper() or " "))


def search(encoder: BagOfTokens, documents: int, queries: int, folder: Path) -> Result:
    """Index and search here and now.

    Raises:
        ValueError: if a query does not find its document first.
    """
    import mteb
    from datasets import Dataset

    from bench.adapters import MtebEncoder
    from bench.embedding import Embedder

    corpus = Dataset.from_generator(_Rows(documents), cache_dir=str(folder / "corpus"))
    asked = [documents * i // queries for i in range(queries)]
    questions = Dataset.from_dict({"id": [f"q{i}" for i in asked], "text": [corpus[i]["text"] for i in asked]})
    searcher = MtebEncoder(Embedder(encoder, cache=folder / "cache"))
    where: dict[str, Any] = {
        "task_metadata": mteb.get_task("SciFact").metadata,
        "hf_split": "test",
        "hf_subset": "default",
        "encode_kwargs": {},
        "num_proc": None,
    }
    start_bytes, start = peak_bytes(), time.perf_counter()
    searcher.index(corpus, **where)
    indexed = time.perf_counter()
    found = searcher.search(questions, top_k=TOP_K, **where)
    end = time.perf_counter()
    wrong = [i for i in asked if _first(found[f"q{i}"]) != f"d{i}"]
    if wrong:
        raise ValueError(f"{len(wrong)} of {queries} queries do not find their own document first")
    return Result(documents, queries, indexed - start, end - indexed, peak_bytes(), start_bytes)


def _first(scores: Mapping[str, float]) -> str:
    return max(scores, key=lambda document: scores[document])


class _Rows:
    """Documents of random words, made one at a time; an object, because `datasets` names its file by what is in it."""

    def __init__(self, documents: int) -> None:
        self.documents = documents

    def __call__(self) -> Iterator[dict[str, str]]:
        import numpy as np

        generator = np.random.default_rng(0)
        for i in range(self.documents):
            words = " ".join(f"w{word}" for word in generator.integers(0, 30_000, size=WORDS))
            yield {"id": f"d{i}", "title": "", "text": words}


def _main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    for name in ("documents", "memory", "queries"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_DATA, (options.memory, options.memory))
    from bench.speed.bag_of_tokens import BagOfTokens

    with tempfile.TemporaryDirectory() as folder:
        result = search(BagOfTokens(), options.documents, options.queries, Path(folder))
    sys.stdout.write(json.dumps(asdict(result)))


if __name__ == "__main__":
    _main(sys.argv[1:])
