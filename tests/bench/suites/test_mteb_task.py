from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

from bench.suites import pydoc
from bench.suites.mteb_task import MtebTask, flatten


def test_several_subsets_keep_their_names() -> None:
    parts: list[Mapping[str, Any]] = [
        {"hf_subset": subset, "languages": ["eng-Latn"], "accuracy": 0.5} for subset in ("en", "de")
    ]
    assert flatten({"test": parts, "dev": parts[:1]}) == {
        "test/en/accuracy": 0.5,
        "test/de/accuracy": 0.5,
        "dev/en/accuracy": 0.5,
    }


def test_undefined_numbers_and_lists_are_left_out() -> None:
    part = {
        "hf_subset": "default",
        "main_score": 1,
        "nauc": math.nan,
        "ap": None,
        "runs": [{"accuracy": 0.5}],
        "ok": True,
    }
    assert flatten({"test": [part]}) == {"main_score": 1.0}


class _Loading(pydoc.PydocClustering):
    """Loading its data changes a setting, as it does for some official tasks."""

    def load_data(self, num_proc: int | None = None, **options: Any) -> None:
        super().load_data(num_proc, **options)
        self.max_documents_per_cluster = 7
        self.rng_state.random()


def test_every_model_gets_the_task_as_its_loading_left_it(new_splits: Callable[..., Any]) -> None:
    task = MtebTask(functools.partial(_Loading, _Loading.select(new_splits())), "pydoc")
    task.prepare()
    first, second = task._fresh(), task._fresh()
    assert first is not second
    assert first.max_documents_per_cluster == 7
    assert first.dataset is not None
    draws = [fresh.rng_state.random() for fresh in (first, second)]
    assert draws[0] == draws[1] != task._make().rng_state.random()
