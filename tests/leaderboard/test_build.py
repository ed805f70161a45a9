from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from bench.records import Record, load_all
from leaderboard import build as module
from leaderboard.build import MARKER, build

OWN_PAGES = ("*.html", "models/*.html", "assets/site.*", "leaderboard.*")


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_report(results: Path, sample: list[Record], tmp_path: Path) -> None:
    (next(results.glob("full/*")) / "Broken.json").write_text("{", encoding="utf-8")
    report = build(results, tmp_path / "out" / "site")
    assert (report.models, report.tasks, report.records) == (6, 4, len(sample))
    assert [refusal.file.rpartition("/")[2] for refusal in report.refused] == ["Broken.json"]
    assert report.index == tmp_path / "out" / "site" / "index.html"
    assert "Broken.json" in report.index.read_text(encoding="utf-8")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["site"], "nothing temporary is left"


def test_same_records_give_the_same_bytes(results: Path, tmp_path: Path) -> None:
    (next(results.glob("full/*")) / "Broken.json").write_text("{", encoding="utf-8")
    shutil.copytree(results, tmp_path / "elsewhere" / "copy")
    build(results, tmp_path / "one")
    build(tmp_path / "elsewhere" / "copy", tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_every_link_leads_to_a_file(site: Path, parse: Callable[[str], Any]) -> None:
    for page in [site / "index.html", *site.glob("models/*.html")]:
        parsed = parse(page.read_text(encoding="utf-8"))
        links = [link for link in parsed.attributes("href") + parsed.attributes("src") if not link.startswith("data:")]
        assert links
        for link in links:
            assert (page.parent / unquote(link)).is_file(), link


def test_site_names_no_network_address(site: Path) -> None:
    pages = [path for pattern in OWN_PAGES for path in site.glob(pattern)]
    assert len(pages) > 8
    for path in pages:
        text = path.read_text(encoding="utf-8")
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'<>]*", text))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, path
        if path.suffix == ".html":
            assert "default-src 'none'" in text


def test_copied_records_verify(site: Path, sample: list[Record]) -> None:
    records, problems = load_all(site / "records")
    assert len(records) == len(sample)
    assert all(record in records for record in sample)
    assert problems == []


def test_chart_data_of_the_page_parse(site: Path, evil: str) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    block = re.search(r'<script type="application/json" id="chart-data">(.*?)</script>', text, re.DOTALL)
    assert block
    assert evil in {point["model"] for point in json.loads(block[1])["points"]}


def test_rebuild_replaces_the_whole_site(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build(results, out)
    (out / "models" / "stale.html").write_text("old", encoding="utf-8")
    build(results, out)
    assert not (out / "models" / "stale.html").exists()
    assert (out / MARKER).is_file()


def test_empty_folder_may_become_a_site(results: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    assert build(results, tmp_path / "site").index.is_file()


def test_a_folder_of_someone_else_is_never_touched(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(ValueError, match="choose another --out"):
        build(results, out)
    assert digests(out).keys() == {"chapter.tex"}
    with pytest.raises(ValueError, match="is a file"):
        build(results, out / "chapter.tex")


@pytest.mark.parametrize("out", [".", "site", ".."])
def test_results_and_site_must_lie_apart(results: Path, out: str) -> None:
    with pytest.raises(ValueError, match="lie in each other"):
        build(results, results / out)


def test_failure_leaves_the_old_site_as_it_was(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(results, tmp_path / "site")
    before = digests(tmp_path)

    def full_disk(record: Record, source: Path, folder: Path) -> None:
        raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr(module, "_copy", full_disk)
    with pytest.raises(OSError, match="No space left"):
        build(results, tmp_path / "site")
    assert digests(tmp_path) == before


def test_failed_swap_puts_the_old_site_back(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(results, tmp_path / "site")
    before = digests(tmp_path)
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output"):
        build(results, tmp_path / "site")
    assert digests(tmp_path) == before


def test_a_record_that_changes_meanwhile_is_noticed(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = module._pages

    def slow(board: Any) -> dict[str, str]:
        twins = sorted(results.glob("twin/*/*.json"))
        text = twins[0].read_text(encoding="utf-8")
        twins[0].write_text(text[:-30], encoding="utf-8")
        return pages(board)

    monkeypatch.setattr(module, "_pages", slow)
    with pytest.raises(ValueError, match="not a valid record"):
        build(results, tmp_path / "site")
    assert not (tmp_path / "site").exists()
