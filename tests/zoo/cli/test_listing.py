from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.cli.listing import resolve_config, shipped_configs


def test_lists_variants_and_configs(zoo: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("list", "variants") == 0
    assert zoo("list", "configs") == 0
    out = capsys.readouterr().out
    for word in ("MaskedLM", "TiedEmbedding", "DenseEncoder", "SwiGLU", "PydocCorpus", "recipes/masked_lm_small.yaml"):
        assert word in out


def test_every_config_has_a_description() -> None:
    assert all(len(text) > 20 for text in shipped_configs().values())


def test_a_shipped_config_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "recipes/masked_lm_small.yaml"
    assert Path(resolve_config(name)).is_file()
    (tmp_path / "recipes").mkdir()
    (tmp_path / name).write_text("# mine\n")
    assert resolve_config(name) == name
    assert resolve_config("nowhere.yaml") == "nowhere.yaml"
