"""Show a built site on this machine only."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line on the terminal for each."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def server(site_dir: str | Path, port: int = 8000) -> ThreadingHTTPServer:
    """A server of `site_dir` on 127.0.0.1; the caller runs `serve_forever` and closes it.

    Args:
        site_dir: a built site.
        port: 0 takes a free one, found in `server_address`.

    Raises:
        OSError: if the port cannot be used.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port must be between 0 and 65535, got {port}")
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(QuietHandler, directory=str(site_dir)))
    except OSError as error:
        message = f"cannot listen on port {port} ({error.strerror}); choose another with --port"
        raise OSError(error.errno, message) from error
