"""A picture server that misbehaves: the first part of a path says how."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Self

from worker.telemetry.http import QuietServer

__all__ = ["EXPECTED", "PictureHost"]

EXPECTED: dict[str, set[str | None]] = {
    "ok": {None},
    "drip": {"fetch_timeout"},
    "silent": {"fetch_timeout"},
    "reset": {"connection_broken"},
    "short": {"connection_broken"},
    "long": {"truncated"},
    "flaky": {None},
    "missing": {"http_not_found"},
}
"""Reason codes that pictures below each first part of a path must get in the end; ``None`` is a score."""

FAILS_FIRST = 2
"""Of four tries: one may fail by itself, on a busy machine."""


class _Server(QuietServer):
    """What all requests share."""

    def __init__(self, pictures: Mapping[str, bytes]) -> None:
        self.pictures = pictures
        self.over = threading.Event()
        self._asked = Counter[str]()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def ask(self, path: str) -> int:
        """How often ``path`` was asked for, this time included."""
        with self._lock:
            self._asked[path] += 1
            return self._asked[path]


class _Handler(BaseHTTPRequestHandler):
    """A method for every way to misbehave, named as the first part of the path."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        kind, _, name = self.path.lstrip("/").partition("/")
        body = self.server.pictures.get(name.partition("?")[0])
        if body is None or kind not in EXPECTED or kind == "missing":
            self.answer(404, b"")
        else:
            getattr(self, kind)(body)

    def ok(self, body: bytes) -> None:
        self.answer(200, body)

    def drip(self, body: bytes) -> None:
        """A byte a second."""
        self.head(200, len(body))
        for byte in body:
            self.wfile.write(bytes([byte]))
            if self.server.over.wait(1.0):
                return

    def silent(self, body: bytes) -> None:
        self.server.over.wait(60)
        self.close_connection = True

    def reset(self, body: bytes) -> None:
        """Half of it, then RST."""
        self.head(200, len(body))
        self.wfile.write(body[: len(body) // 2])
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def short(self, body: bytes) -> None:
        """Promises more than it sends."""
        self.head(200, len(body) + 1000)
        self.wfile.write(body)
        self.close_connection = True

    def long(self, body: bytes) -> None:
        """Sends more than it promises: what was promised is half a picture."""
        self.head(200, len(body) // 2)
        self.wfile.write(body)
        self.close_connection = True

    def flaky(self, body: bytes) -> None:
        """Fails the first two times, then comes round."""
        if self.server.ask(self.path) > FAILS_FIRST:
            self.answer(200, body)
        else:
            self.answer(503, b"")

    def head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(self, status: int, body: bytes) -> None:
        self.head(status, len(body))
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class PictureHost:
    """Serves ``pictures`` (name to bytes) below ``/ok/``; the same names below other parts as ``EXPECTED`` lists."""

    def __init__(self, pictures: Mapping[str, bytes]) -> None:
        self._server = _Server(pictures)
        self._thread = threading.Thread(target=self._server.serve_forever, name="host", daemon=True)
        self._thread.start()
        self.names = sorted(pictures)

    def url(self, kind: str, number: int, mark: str = "") -> str:
        """The address of the picture of that ``number``, served as ``kind`` says; ``mark`` makes it one of its own."""
        name = self.names[number % len(self.names)]
        return f"http://127.0.0.1:{self._server.server_address[1]}/{kind}/{name}{f'?{mark}' if mark else ''}"

    def close(self) -> None:
        """Stop serving; whoever waits is let go."""
        self._server.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
