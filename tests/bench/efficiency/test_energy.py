from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from bench.efficiency import energy

RANGE = 262_143_328_850


def zone(root: Path, folder: str, name: str, microjoules: int) -> Path:
    path = root / folder
    path.mkdir(parents=True, exist_ok=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    return path


def test_packages_are_added_up_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    zones = [zone(tmp_path, f"intel-rapl:{i}", f"package-{i}", 10) for i in range(2)]
    zones += [zone(tmp_path, "intel-rapl:0:0", "core", 0), zone(tmp_path, "intel-rapl:2", "psys", 0)]
    meter = energy.CpuMeter(tmp_path)
    for _ in range(2):
        meter.start()
        for path in zones:
            (path / "energy_uj").write_text(str(int((path / "energy_uj").read_text()) + 3_000_000))
        meter.stop()
    assert meter.joules == 2 * 2 * 3


def test_what_is_used_between_stretches_does_not_count(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = energy.CpuMeter(tmp_path)
    (path / "energy_uj").write_text("5000000")
    meter.start()
    meter.stop()
    assert meter.joules == 0


def test_a_counter_that_wraps_around_is_followed(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", RANGE - 1_000_000)
    meter = energy.CpuMeter(tmp_path)
    meter.start()
    (path / "energy_uj").write_text("2000000")
    meter.stop()
    assert meter.joules == pytest.approx(3)


def test_no_counters_are_a_reason(tmp_path: Path) -> None:
    with pytest.raises(energy.EnergyUnreadableError, match="no RAPL"):
        energy.CpuMeter(tmp_path / "absent")


def test_a_counter_that_may_not_be_read_is_a_reason(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (path / "energy_uj").unlink()
    (path / "energy_uj").mkdir()  # root may read any file, but no folder
    with pytest.raises(energy.EnergyUnreadableError, match="energy_uj: Is a directory"):
        energy.CpuMeter(tmp_path)


class FakeNvml(ModuleType):
    class NVMLError(Exception):
        pass

    def __init__(self, millijoules: list[int], *, broken: bool = False) -> None:
        super().__init__("pynvml")
        self.millijoules = millijoules
        self.broken = broken
        self.asked = ""

    def nvmlInit(self) -> None:
        if self.broken:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.asked = uuid
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        assert handle == self.asked
        return self.millijoules.pop(0)


@pytest.fixture
def _one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="ab-cd"))


@pytest.mark.usefixtures("_one_gpu")
def test_the_gpu_that_torch_means_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml([0, 1000, 4500, 10_000, 10_500])
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    meter = energy.GpuMeter("cuda:0")
    for _ in range(2):
        meter.start()
        meter.stop()
    assert nvml.asked == "GPU-ab-cd"
    assert meter.joules == 4.0


@pytest.mark.usefixtures("_one_gpu")
def test_a_driver_that_is_absent_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml([], broken=True))
    with pytest.raises(energy.EnergyUnreadableError, match="NVML: Driver Not Loaded"):
        energy.GpuMeter("cuda")


def test_every_meter_is_there_or_has_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy.CpuMeter.__init__, "__defaults__", (tmp_path,))
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    found, absent = energy.meters("cpu")
    assert list(found) == ["cpu"]
    assert absent == {"gpu": "the model runs on cpu, which is no NVIDIA GPU"}
