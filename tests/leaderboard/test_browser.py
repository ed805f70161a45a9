from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=5000",
]  # fmt: skip

# Clicks a heading twice, then searches, and leaves what it sees in the page.
PROBE = """
addEventListener("load", () => setTimeout(async () => {
  const wait = () => new Promise((resolve) => setTimeout(resolve, 200));
  const column = () => [...document.querySelectorAll("#board tbody tr")].map((row) => row.cells[3].innerText).join(" ");
  const seen = document.body.dataset;
  const heading = document.querySelectorAll("#board thead tr:nth-child(2) th")[2];
  heading.click(); await wait(); seen.first = column();
  heading.click(); await wait(); seen.second = column();
  const search = document.querySelector("input[type=search]");
  search.value = "bm25"; search.dispatchEvent(new Event("input")); await wait(); seen.found = column();
  seen.points = document.querySelectorAll("#chart .role-mark.mark-symbol path").length;
  seen.done = "yes";
}, 500));
"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: the site was not tried in a browser")
def test_table_sorts_and_searches_and_the_chart_is_drawn_from_a_file(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    (folder / "assets" / "probe.js").write_text(PROBE, encoding="utf-8")
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert page.count("</head>") == 1
    page = page.replace("</head>", '<script src="assets/probe.js" defer></script></head>')
    (folder / "index.html").write_text(page, encoding="utf-8")
    url = (folder / "index.html").as_uri()
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", url]
    dom = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    body = re.search(r"<body[^>]*>", dom)
    assert body
    seen = dict(re.findall(r'data-(\w+)="([^"]*)"', body[0]))
    assert seen == {
        "first": "0.7000 0.6123 0.3000 0.2000 0.1000 —",
        "second": "0.1000 0.2000 0.3000 0.6123 0.7000 —",
        "found": "0.7000",
        "points": "2",
        "done": "yes",
    }
