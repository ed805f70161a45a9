"""Programs that a measurement starts, so that imports and memory count from nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

# the `zoo` command, also where the scripts of this interpreter are not on the search path
ZOO = ("-c", "import sys; from zoo.cli.main import main; sys.exit(main())")


@dataclass(frozen=True)
class Child:
    """A program that has ended well.

    Args:
        seconds: wall time from its start to its end.
        cpu_seconds: time on processors, of its own children too.
        output: what it wrote to standard output.
    """

    seconds: float
    cpu_seconds: float
    output: str


def run(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
    """Run Python with `arguments` and wait for its end.

    Args:
        arguments: of the interpreter.
        environment: variables to set beside those of this process.

    Raises:
        ValueError: if it fails, with the last line that it wrote.
    """
    command = [sys.executable, *arguments]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors, env={**os.environ, **(environment or {})})
        try:
            # of this child alone: getrusage(RUSAGE_CHILDREN) would add up all that ended
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            reason = _last_line(errors) or _last_line(output) or "no message"
            raise ValueError(f"`python {' '.join(arguments)}` failed with {process.returncode}: {reason}")
        output.seek(0)
        return Child(seconds, usage.ru_utime + usage.ru_stime, output.read().decode())


def _last_line(file: IO[bytes]) -> str:
    file.seek(0)
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
