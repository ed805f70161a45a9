from __future__ import annotations

import pytest

from bench.speed import child


def test_output_and_times_of_a_program() -> None:
    busy = "import os, time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"
    code = f"{busy}print(os.environ['X'])"
    found = child.run(["-c", code], {"X": "here"})
    assert found.output == "here\n"
    assert 0.2 <= found.cpu_seconds <= found.seconds + 0.1
    assert child.run(["-c", "import time; time.sleep(0.3)"]).cpu_seconds < 0.25


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('out of luck')", "with 1: out of luck"),
        ("print('said'); raise SystemExit(3)", "with 3: said"),
        ("import os; os.kill(os.getpid(), 9)", "with -9: no message"),
    ],
)
def test_a_failure_says_why(code: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"failed {reason}"):
        child.run(["-c", code])


def test_the_command_line_can_be_started() -> None:
    assert "usage: zoo" in child.run([*child.ZOO, "--help"]).output
