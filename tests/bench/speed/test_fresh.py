from __future__ import annotations

import os
import subprocess

import pytest
import torch

from bench.speed.fresh import environment, in_fresh_process

# the functions are those of libraries: a new process cannot import this file by its name


def test_a_process_of_its_own_with_its_own_threads() -> None:
    assert in_fresh_process(1, os.getpid) != os.getpid()
    assert in_fresh_process(2, torch.get_num_threads) == 2


def test_variables_of_the_environment_reach_the_process_and_go_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_TEST_KNOWN", "before")
    with environment({"ZOO_TEST_KNOWN": "inside", "ZOO_TEST_NEW": "1"}):
        seen = in_fresh_process(1, subprocess.getoutput, "env").splitlines()
    assert {"ZOO_TEST_KNOWN=inside", "ZOO_TEST_NEW=1"} <= set(seen)
    assert os.environ["ZOO_TEST_KNOWN"] == "before"
    assert "ZOO_TEST_NEW" not in os.environ


def test_a_process_that_is_killed_is_named() -> None:
    with pytest.raises(ValueError, match="was killed while it measured, most likely for want of memory"):
        in_fresh_process(1, os._exit, 9)
