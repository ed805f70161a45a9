from __future__ import annotations

import os
import subprocess

import pytest
import torch

from bench.speed.fresh import PASSIVE, in_fresh_process

# the functions are those of libraries: a new process cannot import this file by its name


def test_a_process_of_its_own_with_its_own_threads() -> None:
    assert in_fresh_process(1, os.getpid) != os.getpid()
    assert in_fresh_process(2, torch.get_num_threads) == 2


def test_its_idle_threads_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    environment = in_fresh_process(1, subprocess.getoutput, "env").splitlines()
    assert {f"{name}={value}" for name, value in PASSIVE.items()} <= set(environment)
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert "GOMP_SPINCOUNT" not in os.environ


def test_a_process_that_is_killed_is_named() -> None:
    with pytest.raises(ValueError, match="was killed while it measured, most likely for want of memory"):
        in_fresh_process(1, os._exit, 9)
