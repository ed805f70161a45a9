"""The other side of `zoo bench speed suite`: what a user of mteb and sentence-transformers writes today.

Nothing of ours runs here but the reading of task names. Each task gives a line of JSON: name, main score and seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from pathlib import Path
from typing import Any

from bench.suites.catalog import parse_name


def main() -> None:
    """Score one model on tasks, or only load their data."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--load_only", action="store_true")
    parser.add_argument("--autocast", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    lines = load(options.tasks) if options.load_only else score(options.model, options.tasks, options.autocast)
    options.out.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def load(specs: list[str]) -> list[dict[str, Any]]:
    """Fetch the data of the tasks, so that no contestant waits for a network."""
    for spec in specs:
        _task(spec).load_data()
    return []


def score(model_name: str, specs: list[str], autocast: bool) -> list[dict[str, Any]]:
    """Plain `mteb.evaluate`, batches of 32, no result cache; in bfloat16 under autocast if asked."""
    import mteb
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(model_name)
    context = torch.autocast(model.device.type, torch.bfloat16) if autocast else contextlib.nullcontext()
    lines = []
    for spec in specs:
        start = time.perf_counter()
        task = _task(spec)
        with context:
            result = mteb.evaluate(
                model,
                task,
                cache=None,
                co2_tracker=False,
                encode_kwargs={"batch_size": 32},
                show_progress_bar=False,
            ).task_results[0]
        seconds = time.perf_counter() - start
        lines.append({"task": task.metadata.name, "score": result.get_score(), "seconds": seconds})
    return lines


def _task(spec: str) -> Any:
    import mteb

    name = parse_name(spec)
    return mteb.get_task(name.task, hf_subsets=list(name.subsets) or None, eval_splits=list(name.splits) or None)


if __name__ == "__main__":
    main()
