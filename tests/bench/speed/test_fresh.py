from __future__ import annotations

import os

import pytest
import torch

from bench.speed.fresh import in_fresh_process

# the functions are those of libraries: a new process cannot import this file by its name


def test_a_process_of_its_own_with_its_own_threads() -> None:
    assert in_fresh_process(1, os.getpid) != os.getpid()
    assert in_fresh_process(2, torch.get_num_threads) == 2


def test_a_process_that_is_killed_is_named() -> None:
    with pytest.raises(ValueError, match="was killed while it measured, most likely for want of memory"):
        in_fresh_process(1, os._exit, 9)
