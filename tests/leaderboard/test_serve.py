from __future__ import annotations

import socket
import threading
from pathlib import Path
from urllib.request import urlopen

import pytest

from leaderboard.serve import server


def test_serves_the_site_on_this_machine_only(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello", encoding="utf-8")
    with server(tmp_path, 0) as httpd:
        assert httpd.server_address[0] == "127.0.0.1"
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            with urlopen(f"http://127.0.0.1:{httpd.server_address[1]}/", timeout=10) as answer:
                assert answer.read() == b"hello"
        finally:
            httpd.shutdown()
            thread.join()


def test_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="choose another with --port"):
        server(tmp_path, taken.getsockname()[1])


def test_impossible_port_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="between 0 and 65535"):
        server(tmp_path, 65536)
