from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bench.glue.fine_tuning import Run, Setting
from bench.glue.runs import RunStore

RUN = Run(
    {"validation": np.eye(2, dtype=np.float32), "ax/test": np.ones((3, 2), np.float32)}, (-math.inf, 0.5), 2, 1.5, 9
)
SETTING = Setting(1, 2e-5)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs", {"model": "a", "rows": {"train": "b"}})


def test_a_run_comes_back_as_it_was(store: RunStore) -> None:
    assert store.load(SETTING) is None
    store.save(SETTING, RUN)
    found = store.load(SETTING)
    assert found is not None
    assert (found.curve, found.epoch, found.seconds, found.rows) == (RUN.curve, 2, 1.5, 9)
    assert {name: values.tolist() for name, values in found.logits.items()} == {
        name: values.tolist() for name, values in RUN.logits.items()
    }
    assert len(list(store.folder.iterdir())) == 1


@pytest.mark.parametrize("setting", [Setting(2, 2e-5), Setting(1, 3e-5)])
def test_another_setting_is_another_run(store: RunStore, setting: Setting) -> None:
    store.save(SETTING, RUN)
    assert store.load(setting) is None


def test_other_inputs_are_another_run(store: RunStore) -> None:
    store.save(SETTING, RUN)
    assert RunStore(store.folder, {"model": "other", "rows": {"train": "b"}}).load(SETTING) is None
    assert RunStore(store.folder, {"rows": {"train": "b"}, "model": "a"}).load(SETTING) is not None


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_cut_file_is_refused(store: RunStore, share: float) -> None:
    store.save(SETTING, RUN)
    content = store.path(SETTING).read_bytes()
    store.path(SETTING).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"damaged .* delete it"):
        store.load(SETTING)


def test_a_changed_number_is_refused(store: RunStore) -> None:
    store.save(SETTING, RUN)
    content = bytearray(store.path(SETTING).read_bytes())
    place = content.index(np.ones(6, np.float32).tobytes())
    content[place] ^= 1
    store.path(SETTING).write_bytes(bytes(content))
    with pytest.raises(ValueError, match="damaged"):
        store.load(SETTING)


def test_a_renamed_file_is_refused(store: RunStore) -> None:
    store.save(SETTING, RUN)
    store.path(SETTING).rename(store.path(Setting(2, 2e-5)))
    with pytest.raises(ValueError, match="another run"):
        store.load(Setting(2, 2e-5))


def test_an_interrupted_write_leaves_nothing(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(file: object, **arrays: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.glue.runs.np.savez", stop)
    with pytest.raises(KeyboardInterrupt):
        store.save(SETTING, RUN)
    assert list(store.folder.iterdir()) == []
