"""Fetches through a proxy: only when it is set, and only to addresses that were checked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from pydantic import SecretStr, ValidationError

from tests.worker.helpers import LOCAL
from worker.embedded.picture_server import PictureServer
from worker.errors import FetchFailedError
from worker.intake.http_source import HttpSource
from worker.settings import FetchSettings


class TunnelProxy:
    """Dials what it is asked for, and keeps what it was asked."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        head = connection.recv(4000)
        self.asked.append(head)
        connection.sendall(self.answer)
        if b" 200 " not in self.answer:
            connection.close()
            return
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        far = socket.create_connection((host, int(port)))
        threading.Thread(target=pump, args=(far, connection), daemon=True).start()
        pump(connection, far)


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def running(answer: bytes | None = None) -> Iterator[TunnelProxy]:
    proxy = TunnelProxy(answer) if answer else TunnelProxy()
    yield proxy
    proxy.close()


def through(proxy: TunnelProxy, settings: FetchSettings = LOCAL) -> HttpSource:
    return HttpSource(settings.model_copy(update={"proxy": SecretStr(f"http://me:pass%20word@127.0.0.1:{proxy.port}")}))


def test_bytes_come_through_the_proxy() -> None:
    """It is asked for the checked address, with the credentials of its URL; the host sees nothing of that."""
    with running() as proxy, PictureServer({"a.jpg": b"bytes"}) as server:
        url = server.url("a.jpg").replace("127.0.0.1", "localhost")
        assert through(proxy).fetch(url) == b"bytes"
    (asked,) = proxy.asked
    port = url.split(":")[2].split("/")[0].encode()
    assert asked.startswith(b"CONNECT 127.0.0.1:" + port + b" HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk\r\n" in asked


def test_private_addresses_are_refused_before_the_proxy_is_asked() -> None:
    """A proxy stands inside: what it may reach is no reason to reach it."""
    with running() as proxy, PictureServer({"a.jpg": b"bytes"}) as server:
        with pytest.raises(FetchFailedError) as caught:
            through(proxy, LOCAL.model_copy(update={"allow_networks": ()})).fetch(server.url("a.jpg"))
    assert caught.value.code == "address_refused"
    assert proxy.asked == []


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 Who are you\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 smuggled"]
)
def test_a_proxy_that_refuses(answer: bytes) -> None:
    """It may pass; nothing of the credentials is told."""
    with running(answer) as proxy, PictureServer({"a.jpg": b"bytes"}) as server:
        with pytest.raises(FetchFailedError) as caught:
            through(proxy).fetch(server.url("a.jpg"))
    assert (caught.value.code, caught.value.transient) == ("connect_failed", True)
    assert "pass" not in str(caught.value)


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in it."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with PictureServer({"a.jpg": b"bytes"}) as server:
        assert HttpSource(LOCAL).fetch(server.url("a.jpg")) == b"bytes"


@pytest.mark.parametrize("url", ["127.0.0.1:3128", "socks5://127.0.0.1:1", "http://", "http://me:secret-word@host/path"])
def test_what_is_no_proxy(url: str) -> None:
    """Told without the value."""
    with pytest.raises(ValidationError) as caught:
        FetchSettings(proxy=SecretStr(url))
    assert "secret-word" not in str(caught.value)


def test_heads_are_bounded() -> None:
    """A host that sends headers without end is cut off after some 100 KB, well before the time is over."""
    from tests.worker.intake.servers import raw_server

    def endless(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not over.is_set():
            connection.sendall(b"X-Filler: " + b"x" * 4000 + b"\r\n")

    with raw_server(endless) as url, pytest.raises(FetchFailedError) as caught:
        HttpSource(LOCAL).fetch(url + "/a.jpg")
    assert caught.value.code == "connection_broken"
