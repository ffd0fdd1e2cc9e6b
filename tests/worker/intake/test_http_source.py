"""Bytes come over HTTP within limits, and failures have codes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from tests.worker.helpers import IMPATIENT, LOCAL
from tests.worker.intake.servers import Behaviour, head, raw_server, reply, silence
from worker.embedded.picture_server import PictureServer
from worker.errors import FetchFailedError
from worker.intake.sources import Fetcher
from worker.settings import FetchSettings


@contextmanager
def fetcher(settings: FetchSettings = LOCAL) -> Iterator[Fetcher]:
    made = Fetcher(settings)
    try:
        yield made
    finally:
        made.close()


def code_of(url: str, settings: FetchSettings = LOCAL) -> str:
    with fetcher(settings) as fetch, pytest.raises(FetchFailedError) as caught:
        fetch.fetch(url)
    assert "127.0.0.1/" not in caught.value.detail
    return caught.value.code


def test_body_comes_whole() -> None:
    """Also through a connection that is used again, and under names that need escaping."""
    files = {"a b.jpg": b"x" * 500_000, "图.png": b"y"}
    with PictureServer(files) as server, fetcher() as fetch:
        for name, body in files.items():
            assert fetch.fetch(server.url(name)) == body
            assert fetch.fetch(server.url(name) + "?signed=1") == body


@pytest.mark.parametrize("label", ["aws-chunked", "UTF-8", "none", "binary", "base64", "image/jpeg", "", "identity", "a, b"])
def test_labels_that_are_no_encoding(label: str) -> None:
    """Object stores give back what an uploader once said; the bytes are plain."""
    with raw_server(reply(head("200 OK", Content_Encoding=label, Content_Length="4"), b"byte")) as url, fetcher(LOCAL) as fetch:
        assert fetch.fetch(url + "/a.jpg") == b"byte"


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (reply(head("404 Not Found", Content_Length="0")), "http_not_found"),
        (reply(head("410 Gone", Content_Length="0")), "http_not_found"),
        (reply(head("403 Forbidden", Content_Length="0")), "http_forbidden"),
        (reply(head("503 Busy", Content_Length="0")), "http_server_error"),
        (reply(head("429 Slow down", Content_Length="0")), "http_server_error"),
        (reply(head("204 Nothing")), "http_unexpected_status"),
        (reply(head("200 OK", Content_Length="2000000")), "too_many_bytes"),
        (reply(head("200 OK"), b"x" * 1_000_001), "too_many_bytes"),
        (reply(head("200 OK", Content_Length="10"), b"short"), "connection_broken"),
        (reply(head("200 OK", Content_Encoding="gzip", Content_Length="1"), b"x"), "unsupported_encoding"),
        (reply(head("200 OK", Content_Encoding="aws-chunked, x-gzip", Content_Length="1"), b"x"), "unsupported_encoding"),
        (reply(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), "connection_broken"),
        (reply(), "connection_broken"),
        (reply(head("302 Found", Location="ftp://127.0.0.1/a")), "unsupported_scheme"),
        (reply(head("302 Found", Location="http://10.0.0.9/a")), "address_refused"),
        (reply(head("302 Found", Location="/again", Content_Length="0")), "too_many_redirects"),
        (silence, "fetch_timeout"),
        (reply(*(bytes([b]) for b in head("200 OK", X="y" * 100)), pause_s=0.1), "fetch_timeout"),
        (reply(head("200 OK", Content_Length="100"), *[b"x"] * 100, pause_s=0.1), "fetch_timeout"),
    ],
)
def test_misbehaving_hosts(behaviour: Behaviour, code: str) -> None:
    """Each has a code, and none holds a thread: those that are slow would go on for longer than the total time."""
    settings = IMPATIENT if code == "fetch_timeout" else LOCAL
    with raw_server(behaviour) as url:
        assert code_of(url + "/a.jpg", settings) == code


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://example.com/a", "unsupported_scheme"),
        ("s4://bucket/a", "unsupported_scheme"),
        ("a.jpg", "unsupported_scheme"),
        ("http://", "invalid_url"),
        ("http://exa mple.com/", "invalid_url"),
        ("http://[::1/a", "invalid_url"),
        ("http://127.0.0.1:99999/", "invalid_url"),
        ("http://127.0.0.1:1/a", "connect_failed"),
        ("http://192.168.0.1/a", "address_refused"),
        ("file:///etc/passwd", "file_refused"),
        ("FILE:///etc/passwd", "file_refused"),
    ],
)
def test_urls_that_cannot_be_fetched(url: str, code: str) -> None:
    """A clear code for each."""
    assert code_of(url) == code


def test_nothing_private_is_allowed_by_default() -> None:
    """Loopback included."""
    with PictureServer({"a": b"x"}) as server:
        assert code_of(server.url("a"), FetchSettings()) == "address_refused"


def test_redirects_are_followed_to_the_body() -> None:
    """Relative ones too."""
    with PictureServer({"a.jpg": b"body"}) as target:
        with raw_server(reply(head("301 Moved", Location=target.url("a.jpg"), Content_Length="0"))) as url, fetcher() as fetch:
            assert fetch.fetch(url) == b"body"


def test_passing_failures_are_tried_again() -> None:
    """The second attempt gets the body; failures that will not pass get no second attempt."""
    answers = [head("503 Busy", Content_Length="0"), head("200 OK", Content_Length="4") + b"body"]
    with raw_server(lambda connection, _: connection.sendall(answers.pop(0))) as url:
        with fetcher(LOCAL.model_copy(update={"attempts": 2})) as fetch:
            assert fetch.fetch(url) == b"body"
    refusals = [head("404 No", Content_Length="0")] * 2
    with raw_server(lambda connection, _: connection.sendall(refusals.pop())) as url:
        assert code_of(url, LOCAL.model_copy(update={"attempts": 2})) == "http_not_found"
    assert len(refusals) == 1


def test_files_only_from_allowed_folders(tmp_path: Path) -> None:
    """Not beside them, not out of them by dots or links."""
    inside, outside = tmp_path / "in", tmp_path / "out.jpg"
    inside.mkdir()
    (inside / "a b.jpg").write_bytes(b"body")
    outside.write_bytes(b"secret")
    (inside / "link.jpg").symlink_to(outside)
    settings = LOCAL.model_copy(update={"allow_files": (inside,)})
    with fetcher(settings) as fetch:
        assert fetch.fetch((inside / "a b.jpg").as_uri()) == b"body"
    assert code_of(f"file://{inside}/../out.jpg", settings) == "file_refused"
    assert code_of(f"file://{inside}/link.jpg", settings) == "file_refused"
    assert code_of(f"file://{inside}/none.jpg", settings) == "file_not_found"


def test_a_certificate_that_nobody_here_trusts() -> None:
    """Final: no retry makes it valid. httpcore hides the reason of its errors."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    def shake(connection: socket.socket, _: threading.Event) -> None:
        with suppress(OSError):
            context.wrap_socket(connection, server_side=True)

    with raw_server(shake, peek=True) as url, fetcher() as fetch, pytest.raises(FetchFailedError) as caught:
        fetch.fetch(url.replace("http:", "https:") + "/a.jpg")
    assert (caught.value.code, caught.value.transient) == ("tls_failed", False)
    assert "SSL" not in caught.value.detail
    assert "certificate" in caught.value.detail


def test_reasons_are_in_words() -> None:
    """Not in those of a library or of an operating system."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for answer in (reply(head("200 OK", Content_Length="50"), b"part"), reply()):
        with raw_server(answer) as url, fetcher() as fetch, pytest.raises(FetchFailedError) as caught:
            fetch.fetch(url + "/a.jpg")
        assert caught.value.code == "connection_broken"
        assert not any(word in caught.value.detail.lower() for word in ("errno", "peer", "disconnected", "ssl", "received"))
    with fetcher() as fetch, pytest.raises(FetchFailedError, match="refuses connections") as caught:
        fetch.fetch(f"http://127.0.0.1:{port}/a.jpg")
    assert "rrno" not in caught.value.detail
