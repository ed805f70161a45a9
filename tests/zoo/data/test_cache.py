from __future__ import annotations

import json
from pathlib import Path

import pytest

from zoo.data.cache import atomic_path, building, cache_root, content_key, write_json


def test_root_is_argument_then_environment_then_user_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "env"))
    assert cache_root(str(tmp_path / "arg")) == tmp_path / "arg"
    assert cache_root() == tmp_path / "env"
    monkeypatch.delenv("ZOO_CACHE")
    assert cache_root().name == "zoo"


def test_key_depends_on_where_parts_end() -> None:
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key("ab") == content_key(b"ab")


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, 1)

    def write_half() -> None:
        with atomic_path(path) as partial:
            partial.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert json.loads(path.read_text()) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".partial-abc.npy").write_bytes(b"x")
    with building(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
