"""What all tests share: one table of tolerances, a tokenizer built in memory, and batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from zoo.contracts import PackedBatch

# Small tensors: threads only wait for each other. Must be set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Largest error by the coarsest type that a computation ran in: relative to the largest number of the expected tensor,
# since sums of numbers of that size are what rounds.
TOLERANCES = {"float64": 1e-12, "float32": 2e-6, "bfloat16": 2e-2, "float16": 2e-3}
# Losses of 20 steps in float64: each step multiplies what the rounding of another machine or library changes.
GOLDEN_TOLERANCE = 1e-7

WORDS = [first + second for first in "bcdfgklmnprstvz" for second in ("a", "e", "i", "o")]


@pytest.fixture(scope="session")
def tolerance() -> Callable[[torch.dtype], float]:
    """Tolerance of a type, relative to the largest number."""
    return lambda dtype: TOLERANCES[str(dtype).removeprefix("torch.")]


@pytest.fixture(scope="session")
def golden_tolerance() -> float:
    """Largest relative error of a loss that is kept as text."""
    return GOLDEN_TOLERANCE


@pytest.fixture(scope="session")
def assert_close(tolerance: Callable[[torch.dtype], float]) -> Callable[..., None]:
    """`assert_close(actual, expected, dtype=None)`: equal within the tolerance of `dtype`, by default of `actual`'s.

    `scale` is the size of the numbers that went in, for results that cancel to zero.
    """
    import torch

    def check(
        actual: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype | None = None, scale: float = 1e-3
    ) -> None:
        assert actual.shape == expected.shape
        exact = expected.detach().double()
        error = float((actual.detach().double() - exact).abs().max())
        allowed = tolerance(dtype or actual.dtype) * max(scale, float(exact.abs().max()))
        assert error <= allowed, f"largest error {error:.3g}, allowed {allowed:.3g}"
        assert torch.isfinite(actual).all()

    return check


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """60 words of two letters, each one token, and the special tokens: V = 65."""
    from zoo.data.tokenizers import WordLevel

    return WordLevel().build([" ".join(WORDS)])


@pytest.fixture(scope="session")
def texts() -> Callable[..., list[str]]:
    """`texts(count, seed=0)`: texts of 0 to 20 known words."""
    import random

    def make(count: int, seed: int = 0) -> list[str]:
        rng = random.Random(seed)
        return [" ".join(rng.choices(WORDS, k=rng.randrange(20))) for _ in range(count)]

    return make


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., PackedBatch]:
    """`make_batch(lengths, vocab_size=65, seed=0)`: random tokens, none of them special."""
    import torch

    from zoo.contracts import PackedBatch

    def make(lengths: Sequence[int], vocab_size: int = 65, seed: int = 0) -> PackedBatch:
        generator = torch.Generator().manual_seed(seed)
        return PackedBatch.from_sequences([torch.randint(5, vocab_size, (n,), generator=generator) for n in lengths])

    return make


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Caches go to a temporary folder unless one is named, never to the user's."""
    os.environ.setdefault("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def corpus_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of tiny data: `text`, a txt file of 120 lines, and `pairs`, a jsonl file of 120 pairs."""
    import json
    import random

    folder = tmp_path_factory.mktemp("corpus")
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS, k=rng.randrange(3, 12))) for _ in range(120)]
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")
    pairs = [json.dumps({"query": line.split()[0] + f" {line.split()[-1]}", "document": line}) for line in lines]
    (folder / "pairs.jsonl").write_text("\n".join(pairs) + "\n")
    return {"text": str(folder / "lines.txt"), "pairs": str(folder / "pairs.jsonl")}


@pytest.fixture(scope="session")
def tiny_arguments(corpus_files: dict[str, str]) -> Callable[[str], list[str]]:
    """`tiny_arguments(objective)`: options of `zoo fit` for a model of width 32 on tiny data."""

    def make(objective: str) -> list[str]:
        pairs = objective == "Contrastive"
        return [
            *("--model", objective, "--model.width", "32", "--model.encoder", "DenseEncoder"),
            *("--model.encoder.num_layers", "1", "--model.encoder.num_heads", "2"),
            *("--data", "PairData" if pairs else "TextCorpus"),
            *("--data.source.path", corpus_files["pairs" if pairs else "text"]),
            *("--data.tokenizer", "WordLevel", "--data.max_length", "16"),
            *(("--data.batch_pairs", "16") if pairs else ("--data.batch_tokens", "128")),
            *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
        ]

    return make


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """The `zoo` command, in this process and an empty folder; gives the exit status."""
    from zoo.cli.main import main

    monkeypatch.chdir(tmp_path)
    for name in ("ZOO_RUN_DIR", "ZOO_DEBUG"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["zoo", *arguments])
        return main(list(arguments))

    return run
