"""Energy that was used between two moments, where the machine can tell it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import torch

POWERCAP = Path("/sys/class/powercap")


class EnergyUnreadableError(Exception):
    """This machine does not tell how much energy it uses; the message says why."""


class EnergyMeter(Protocol):
    """Adds up the energy of the stretches between `start` and `stop`."""

    def start(self) -> None:
        """Begin a stretch."""

    def stop(self) -> None:
        """End it."""

    @property
    def joules(self) -> float:
        """Energy of all stretches so far."""


class CpuMeter:
    """Energy of all processor packages, from the counters of Intel's RAPL (AMD has the same since Zen).

    The counters hold microjoules and wrap around at a range that they state; a stretch may contain one wrap, which is
    minutes of full load. Other programs of the machine are in the figure.

    Args:
        root: folder of the kernel's power capping zones.

    Raises:
        EnergyUnreadableError: if there is no such counter or it may not be read.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        # `psys` would count the packages a second time, and a second colon marks a part of a package.
        zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        try:
            packages = [zone for zone in zones if (zone / "name").read_text().startswith("package")]
            self._ranges = {zone: int((zone / "max_energy_range_uj").read_text()) for zone in packages}
            self._before = self._read()
        except OSError as error:
            raise EnergyUnreadableError(f"RAPL: {error.filename}: {error.strerror}") from error
        if not self._ranges:
            raise EnergyUnreadableError(f"no RAPL: no processor package below {root}")
        self._microjoules = 0

    def start(self) -> None:
        """Begin a stretch."""
        self._before = self._read()

    def stop(self) -> None:
        """End it."""
        after = self._read()
        for zone, size in self._ranges.items():
            used = after[zone] - self._before[zone]
            self._microjoules += used if used >= 0 else used + size

    @property
    def joules(self) -> float:
        """Energy of all stretches so far."""
        return self._microjoules / 1e6

    def _read(self) -> dict[Path, int]:
        return {zone: int((zone / "energy_uj").read_text()) for zone in self._ranges}


class GpuMeter:
    """Energy of one NVIDIA GPU, from the counter of its driver (Volta and later).

    Args:
        device: such as `cuda:0`, as torch numbers them.

    Raises:
        EnergyUnreadableError: if `device` is no such GPU or the driver does not tell.
    """

    def __init__(self, device: str) -> None:
        if torch.device(device).type != "cuda":
            raise EnergyUnreadableError(f"the model runs on {device}, which is no NVIDIA GPU")
        self._nvml, self._handle = _nvml(device)
        self._before = self._read()
        self._millijoules = 0

    def start(self) -> None:
        """Begin a stretch."""
        self._before = self._read()

    def stop(self) -> None:
        """End it."""
        self._millijoules += self._read() - self._before

    @property
    def joules(self) -> float:
        """Energy of all stretches so far."""
        return self._millijoules / 1e3

    def _read(self) -> int:
        try:
            return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError as error:
            raise EnergyUnreadableError(f"NVML: {error}") from error


def meters(device: str) -> tuple[dict[str, EnergyMeter], dict[str, str]]:
    """The meters `cpu` and `gpu` that can be read while a model runs on `device`, and why others cannot."""
    found: dict[str, EnergyMeter] = {}
    absent: dict[str, str] = {}
    for name, make in (("cpu", CpuMeter), ("gpu", lambda: GpuMeter(device))):
        try:
            found[name] = make()
        except EnergyUnreadableError as reason:
            absent[name] = str(reason)
    return found, absent


def _nvml(device: str) -> tuple[ModuleType, Any]:
    try:
        import pynvml
    except ImportError as error:
        raise EnergyUnreadableError("NVML: the package nvidia-ml-py is not installed") from error
    try:
        pynvml.nvmlInit()
        # torch counts visible devices only and NVML counts all, so that the same number may be two devices
        uuid = torch.cuda.get_device_properties(torch.device(device)).uuid
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except pynvml.NVMLError as error:
        raise EnergyUnreadableError(f"NVML: {error}") from error
