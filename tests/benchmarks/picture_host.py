"""A picture server in a process of its own, so that what it costs is nobody else's: ``python -m ... FOLDER PORT``.

``/NUMBER/NAME`` is the file of that name, with the number written where no pixel depends on it: every number gives other bytes.
"""

from __future__ import annotations

import sys
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.benchmarks.marking import marked


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        number, _, name = self.path.lstrip("/").partition("/")
        body = marked(_read(self.folder / name), int(number))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


def main(folder: str, port: str) -> None:
    """Serve until killed, on all addresses: 127.0.0.0/8 is as many hosts as one wants."""
    _Handler.folder = Path(folder)
    ThreadingHTTPServer.daemon_threads = True
    with ThreadingHTTPServer(("", int(port)), _Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
