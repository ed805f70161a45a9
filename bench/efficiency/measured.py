"""What a measurement gives, and where it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from bench.records import Scores


@dataclass(frozen=True)
class Measured:
    """Numbers of one measurement.

    Args:
        scores: the numbers.
        seconds: wall time spent in the model, warm-up included.
        texts: texts given to the model, warm-up included.
    """

    scores: Scores
    seconds: float = 0.0
    texts: int = 0


def hardware_of(device: str) -> str:
    """The processor or accelerator that a figure belongs to, in words; figures of two are never compared.

    A processor is named with its family, model and stepping, because virtual machines call many processors by one
    name, and with the threads that torch uses.
    """
    chosen = torch.device(device)
    if chosen.type == "cuda":
        return torch.cuda.get_device_name(chosen)
    threads = torch.get_num_threads()
    kind = _processor() if chosen.type == "cpu" else f"{chosen.type} of {_processor()}"
    return f"{kind}, {threads} thread{'s' if threads > 1 else ''}"


@cache
def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    from zoo import provenance

    name = str(provenance.hardware()["cpu"])
    if not cpuinfo.exists():
        return name
    pairs = (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8").splitlines())
    facts = {key.strip(): value.strip() for key, _, value in reversed(list(pairs))}
    numbers = [facts[key] for key in ("cpu family", "model", "stepping") if key in facts]
    return f"{name} ({'-'.join(numbers)})" if numbers else name
