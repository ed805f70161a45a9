from __future__ import annotations

import re
from pathlib import Path

import pytest

from leaderboard import bundle

HOSTS = re.compile(r"unpkg|jsdelivr|cdnjs|googleapis|gstatic|cdn\.datatables|esm\.sh|skypack", re.IGNORECASE)


def test_assets_are_own_files_and_the_two_bundles() -> None:
    assert sorted(bundle.assets()) == ["datatables.js", "site.css", "site.js", "vega.js"]


def test_datatables_is_a_classic_script() -> None:
    source = bundle.datatables()
    assert "window.DataTable=" in source
    assert not re.search(r"\bexport\s*\{|\bimport\s*[{*]|import\.meta", source)


def test_vega_sets_its_global() -> None:
    assert "window.vegaEmbed" in bundle.assets()["vega.js"]


def test_bundles_name_no_content_network() -> None:
    assert {name for name, text in bundle.assets().items() if HOSTS.search(text)} == set()


def test_another_form_of_the_bundle_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "dt_bundle.js").write_text("export default 1;", encoding="utf-8")
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    with pytest.raises(ValueError, match="install itables"):
        bundle.datatables()
