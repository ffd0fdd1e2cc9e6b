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
    "astray": {"invalid_url"},
    "odd": {"invalid_url"},
    "heavy": {None},
    "drool": {None},
    "hang": {None},
}
"""Reason codes that pictures below each first part of a path must get in the end; ``None`` is a score."""

ODD_URLS = ("http://[::1", "http://xn--zz--/", "http://a:b/", "http://xn--a/", "http://" + "a" * 70_000)
"""None of them can be asked for; the last one is for redirects alone, since an event may not have so long a one."""

GOOD, BAD = "127.0.0.1", "127.0.0.2"

FAILS_FIRST = 2
"""Of four tries: one may fail by itself, on a busy machine."""


class _Server(QuietServer):
    """What all requests share."""

    def __init__(self, pictures: Mapping[str, bytes], address: str) -> None:
        self.pictures = pictures
        self.over = threading.Event()
        self._asked = Counter[str]()
        self._lock = threading.Lock()
        super().__init__((address, 0), _Handler)

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

    def drool(self, body: bytes) -> None:
        """A byte a second the first time, then as it should be."""
        self.ok(body) if self.server.ask(self.path) > 1 else self.drip(body)

    def hang(self, body: bytes) -> None:
        """Silent the first time, then as it should be."""
        self.ok(body) if self.server.ask(self.path) > 1 else self.silent(body)

    def heavy(self, body: bytes) -> None:
        """It is the event that is heavy."""
        self.ok(body)

    def astray(self, body: bytes) -> None:
        """Leads to where nobody can go, to another such place each time."""
        self.send_response(302)
        self.send_header("Location", ODD_URLS[self.server.ask("astray") % len(ODD_URLS)])
        self.send_header("Content-Length", "0")
        self.end_headers()

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
    """Serves ``pictures`` (name to bytes) below ``/ok/``; the same names below other parts as ``EXPECTED`` lists.

    What misbehaves has an address of its own, so that good pictures are another host's.
    """

    def __init__(self, pictures: Mapping[str, bytes]) -> None:
        self._servers = [_Server(pictures, address) for address in (GOOD, BAD)]
        self._threads = [threading.Thread(target=each.serve_forever, name="host", daemon=True) for each in self._servers]
        for thread in self._threads:
            thread.start()
        self.names = sorted(pictures)

    def url(self, kind: str, number: int, mark: str = "") -> str:
        """The address of the picture of that ``number``, served as ``kind`` says; ``mark`` makes it one of its own."""
        if kind == "odd":
            return ODD_URLS[number % (len(ODD_URLS) - 1)]
        name = self.names[number % len(self.names)]
        address, port, *_ = self._servers[kind != "ok"].server_address
        return f"http://{address!s}:{port}/{kind}/{name}{f'?{mark}' if mark else ''}"

    def close(self) -> None:
        """Stop serving; whoever waits is let go."""
        for server in self._servers:
            server.over.set()
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
