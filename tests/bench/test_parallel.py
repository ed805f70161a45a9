from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import parallel
from bench.parallel import ALONE, check_shared, launch


def test_alone() -> None:
    assert (ALONE.rank, ALONE.world_size, ALONE.device) == (0, 1, None)
    ALONE.barrier()
    assert ALONE.broadcast("x") == "x"
    ALONE.agree(None)
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        ALONE.agree(error)
    assert caught.value is error
    assert launch() is ALONE


def test_more_processes_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"4 processes were started \(WORLD_SIZE\), but one is asked for"):
        launch()


class Elsewhere:
    """A process on another machine."""

    rank, world_size, device = 1, 2, None

    def barrier(self) -> None:
        pass

    def broadcast(self, value: Any) -> Any:
        return value

    def agree(self, error: Exception | None) -> None:
        ALONE.agree(error)


def test_a_folder_that_is_not_shared(tmp_path: Path) -> None:
    check_shared(ALONE, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(ValueError, match=r"process 1 does not see the cache folder .* of process 0: put it on a disk"):
        check_shared(Elsewhere(), tmp_path)


def test_the_first_failure_is_told() -> None:
    assert parallel._first_failure([None, None]) is None
    failure = parallel._first_failure([None, ("KeyError: x", False), ("ValueError: y", True)])
    assert isinstance(failure, RuntimeError)
    assert str(failure) == "process 1 failed: KeyError: x"
    assert isinstance(parallel._first_failure([("OSError: x", True)]), ValueError)
