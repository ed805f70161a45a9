from __future__ import annotations

from collections.abc import Callable

import pytest

from zoo.cli.doctor import broken_requirements


def test_shows_versions_devices_and_caches(zoo: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("doctor") in (0, 1)
    out = capsys.readouterr().out
    for word in ("versions", "torch", "hardware", "precision", "bf16-mixed", "caches", "problems"):
        assert word in out


def test_names_what_is_missing() -> None:
    assert broken_requirements("no-such-package")[0].startswith("no-such-package is not installed")
