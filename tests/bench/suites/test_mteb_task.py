from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench.suites.mteb_task import flatten


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
