from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.efficiency import measured


def test_hardware_names_the_processor_and_the_threads() -> None:
    threads = torch.get_num_threads()
    assert measured.hardware_of("cpu").endswith(f", {threads} thread{'s' if threads > 1 else ''}")


def test_hardware_tells_generations_of_one_name_apart(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("cpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon\nstepping\t: 8\n")
    assert measured._processor(info).endswith(" (6-143-8)")
    info.write_text("Features\t: asimd\n")
    assert not measured._processor(tmp_path / "cpuinfo2").endswith(")")


def test_a_gpu_is_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    assert measured.hardware_of("cuda:1") == "GPU 1"
