from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

Start = Callable[..., subprocess.Popen[str]]
PATIENCE = 240


def finish(program: subprocess.Popen[str]) -> str:
    try:
        output, _ = program.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        raise
    return output


def encoded(folder: Path) -> list[str]:
    return [line for log in sorted(folder.glob("log*")) for line in log.read_text().splitlines()]


def test_killed_it_loses_one_window_and_gives_the_same_bits(run_program: Start, tmp_path: Path) -> None:
    assert finish(run_program("whole")) == ""
    killed = run_program("killed", seconds=0.05)
    cache = tmp_path / "killed" / "cache"
    deadline = time.monotonic() + PATIENCE
    while len(list(cache.rglob("*.npy"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    finish(killed)
    before = len(list(cache.rglob("*.npy")))
    assert not (tmp_path / "killed" / "vectors0").exists()
    assert finish(run_program("killed")) == ""
    vectors = (tmp_path / "whole" / "vectors0").read_bytes()
    assert (tmp_path / "killed" / "vectors0").read_bytes() == vectors
    windows = len(list(cache.rglob("*.npy")))
    assert 4 <= before < windows == len(list((tmp_path / "whole").rglob("*.npy")))
    texts = encoded(tmp_path / "killed")
    assert len(set(texts)) == 120
    again = sum(map(len, texts)) - sum(map(len, set(texts)))
    assert again <= 400, "at most the characters of one window are encoded twice"


def test_two_processes_give_the_same_bits(run_program: Start, tmp_path: Path) -> None:
    assert finish(run_program("one")) == ""
    output = finish(run_program("two", devices=2))
    expected = (tmp_path / "one" / "vectors0").read_bytes()
    for rank in (0, 1):
        assert (tmp_path / "two" / f"vectors{rank}").read_bytes() == expected, output
    shares = [(tmp_path / "two" / f"log{rank}").read_text().splitlines() for rank in (0, 1)]
    assert all(shares)
    assert len(shares[0]) + len(shares[1]) == 120 == len({*shares[0], *shares[1]})


def test_if_one_process_fails_all_do(run_program: Start, tmp_path: Path) -> None:
    program = run_program("failing", devices=2, wrong=1)
    output = finish(program)
    assert program.returncode != 0
    assert output.count("ValueError: process 1 failed: ValueError: something is wrong") == 2, output
