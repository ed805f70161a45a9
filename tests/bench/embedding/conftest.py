from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# A program that encodes slowly, so that it can be stopped in between, and writes one line for each batch.
PROGRAM = """
import hashlib, sys, time
from pathlib import Path
import numpy as np
from bench.embedding import Embedder, plan
from bench.parallel import launch
from bench.protocols import Route
from bench.records import ModelInfo

folder, out, seconds, devices, wrong = Path(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:6])
plan.WINDOW_CHARACTERS = 400

class Slow:
    batch_tokens, streams = 100, 1
    def describe(self):
        return ModelInfo(name="slow", parts={"weights": "0"}, kind="zoo", dtype="float32", dim=8)
    def route(self, prompt, role): return Route(prompt or "", None)
    def tokenize(self, texts, route): return list(texts)
    def embed(self, batch, route):
        time.sleep(seconds)
        if wrong and workers.rank == wrong: raise ValueError("something is wrong")
        with (out / f"log{workers.rank}").open("a") as log: log.writelines(text + "\\n" for text in batch)
        # like a matrix product, it depends in the last bits on what else is in the batch
        noise = 1e-6 * sum(map(len, batch))
        seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in batch]
        return np.stack([np.random.default_rng(seed).normal(size=8) + noise for seed in seeds]).astype(np.float32)

workers = launch(devices=int(devices), accelerator="cpu")
texts = [f"text {i} " + "x" * (i % 37) for i in range(120)]
vectors = Embedder(Slow(), folder, workers).encode(texts)
(out / f"vectors{workers.rank}").write_bytes(vectors.tobytes())
"""


@pytest.fixture
def run_program(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """`run_program(name, seconds=0, devices=1, wrong=0)`: starts it; all it writes is in `tmp_path/name`."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)

    def start(name: str, seconds: float = 0, devices: int = 1, wrong: int = 0) -> subprocess.Popen[str]:
        out = tmp_path / name
        out.mkdir(exist_ok=True)
        arguments: list[Any] = [sys.executable, path, out / "cache", out, seconds, devices, wrong]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(
            list(map(str, arguments)),
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    return start
