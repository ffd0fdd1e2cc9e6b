"""Web servers that misbehave, one connection at a time, byte by byte as told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Behaviour = Callable[[socket.socket, threading.Event], None]


@contextmanager
def raw_server(behave: Behaviour, *, peek: bool = False) -> Iterator[str]:
    """A server on loopback that reads a request's first bytes and then does as ``behave`` says; gives its base URL.

    With ``peek`` it only looks at them.
    """
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65_536, socket.MSG_PEEK if peek else 0)
                behave(connection, over)
            except OSError:
                pass

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.close()


def reply(*parts: bytes, pause_s: float = 0.0) -> Behaviour:
    """Send ``parts`` one after the other, ``pause_s`` apart, then hang up."""

    def behave(connection: socket.socket, over: threading.Event) -> None:
        for part in parts:
            connection.sendall(part)
            if pause_s and over.wait(pause_s):
                return

    return behave


def silence(connection: socket.socket, over: threading.Event) -> None:
    """Never answer."""
    over.wait()


def head(status: str, **headers: str) -> bytes:
    """A response's head."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()
