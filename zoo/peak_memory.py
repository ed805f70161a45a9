"""Highest memory of this process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def forget_peak() -> None:
    """Let the peak begin anew at what is resident now.

    Raises:
        OSError: where the system cannot, which is everywhere but on Linux.
    """
    Path("/proc/self/clear_refs").write_text("5")


def resident_bytes() -> int | None:
    """Resident set of this process in bytes; None where the system does not tell, which is everywhere but on Linux."""
    return _status("VmRSS") if _STATUS.exists() else None


def peak_bytes() -> int:
    """Highest resident set of this process so far, in bytes."""
    if _STATUS.exists():  # Linux, whose getrusage carries over the peak of the process that started this one
        return _status("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
