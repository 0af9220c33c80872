"""A site on this machine, for a look: no other machine can reach it."""

from __future__ import annotations

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from knowncircuits.errors import ResultError

HOST = "127.0.0.1"


class _Quiet(SimpleHTTPRequestHandler):
    """Says nothing of requests."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


def make_server(site: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of the site's files; port 0 takes a free one.

    Raises ResultError for a folder without a site, or a port that is taken.
    """
    if not (site / "index.html").is_file():
        raise ResultError(
            f"expected a site in {site}, got no index.html; `knowncircuits leaderboard build` "
            "makes one"
        )
    handler = functools.partial(_Quiet, directory=str(site))
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise ResultError(f"cannot serve on port {port}: {error.strerror or error}") from error


def address(server: ThreadingHTTPServer) -> str:
    """Where the site is."""
    return f"http://{HOST}:{server.server_port}/"
