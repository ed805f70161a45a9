"""Memory that a model needs at its highest while it encodes."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from bench.efficiency.measured import Measured
from bench.efficiency.passes import encode
from bench.protocols import Encoder, NotApplicableError
from bench.records import Scores

BATCH_SIZES = (1, 32)
PROCESS = Path("/proc/self")


def measure(encoder: Encoder, texts: Sequence[str], device: str) -> Measured:
    """Bytes of the model, and what a batch of 1 and of 32 texts adds to them at its highest.

    The peak is that of the model alone: what else lies in the process does not count. Each batch size has run once
    before, so that what is made once and kept does not count either.

    Args:
        encoder: the model.
        texts: of one length, at least 32.
        device: that it runs on.

    Returns:
        `peak_memory_mb` (the main score, 32 texts), in units of 1,000,000 bytes.

    Raises:
        NotApplicableError: if the size of the model is unknown, or the peak cannot be read on this system.
    """
    size = encoder.describe().bytes
    if size is None:
        raise NotApplicableError("the model does not say how many bytes it has")
    scores = {"model_mb": size / 1e6}
    for batch_size in BATCH_SIZES:
        chosen = texts[:batch_size]
        encode(encoder, chosen, batch_size)
        added = added_peak(partial(encode, encoder, chosen, batch_size), device)
        scores[f"batch_{batch_size}/added_mb"] = added / 1e6
    scores["peak_memory_mb"] = scores["model_mb"] + scores[f"batch_{BATCH_SIZES[-1]}/added_mb"]
    return Measured(Scores(scores["peak_memory_mb"], scores), texts=2 * sum(BATCH_SIZES))


def added_peak(run: Callable[[], object], device: str) -> int:
    """Bytes by which `run` raised the memory in use on `device` at its highest.

    On a GPU these are torch's allocations. On a CPU it is the resident set, whose peak the kernel lets a process reset;
    the heap is given back to the system before, or a block that was freed earlier would hide one that is needed.

    Raises:
        NotApplicableError: if this system does not tell.
    """
    chosen = torch.device(device)
    if chosen.type == "cuda":
        torch.cuda.synchronize(chosen)
        torch.cuda.reset_peak_memory_stats(chosen)
        before = torch.cuda.memory_allocated(chosen)
        run()
        torch.cuda.synchronize(chosen)
        return torch.cuda.max_memory_allocated(chosen) - before
    if chosen.type != "cpu":
        raise NotApplicableError(f"peak memory cannot be read on {device}")
    with contextlib.suppress(AttributeError, OSError):  # of glibc alone; other allocators give memory back themselves
        ctypes.CDLL(None).malloc_trim(0)
    try:
        (PROCESS / "clear_refs").write_text("5")
        before = _status("VmRSS")
        run()
        return max(0, _status("VmHWM") - before)
    except OSError as error:
        raise NotApplicableError(f"peak memory cannot be read on this system: {error}") from error


def _status(name: str) -> int:
    lines = (PROCESS / "status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
