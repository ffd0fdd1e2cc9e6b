"""Whatever senders write as a URL, and whatever hosts answer: a fetch gives bytes or fails with a code."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.worker.helpers import IMPATIENT, LOCAL
from tests.worker.intake.servers import raw_server
from worker.errors import FetchFailedError
from worker.intake.sources import Fetcher
from worker.intake.urls import parse_url, resolve_location
from worker.settings import S3Settings

HOSTILE = [
    "",
    ":",
    "http:",
    "http://",
    "http:///path",
    "http:/path",
    "http://[::1",
    "http://::1]/",
    "http://[]/",
    "http://[v1.a]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://a:b/",
    "http://a:0/",
    "http://a:-1/",
    "http://a:99999/",
    "http://a:" + "9" * 5000 + "/",
    "http://a:80:80/",
    "http://xn--a/",
    "http://xn--zz--/",
    "http://xn--/",
    "http://x\x01y/",
    "http://x\x00/",
    "http://x/\x00",
    "http://x/\r\nHost: y",
    "http://x y/",
    "http://%00/",
    "http://%zz/",
    "http://./",
    "http://../",
    "http://a..b/",
    "http://.a/",
    "http://" + "a" * 64 + ".org/",
    "https://" + "a" * 64 + ".org/",
    "http://" + "a." * 127 + "org/",
    "http://" + "é" * 63 + "/",
    "http://\u2100/",
    "http://a\u200db/",
    "http://a\u00ad/",
    "http://*/",
    "http://user@x/",
    "http://:@x/",
    "http://x\\@y/",
    "http:\\\\x\\y",
    "http://x#@y/" + "z" * 70_000,
    "https://" + "/" * 70_000,
]
FILES = ["file://\x00", "file:///\x00", "file:///%00", "file:///" + "a" * 5000, "file://[::1", "file://\u2100/"]


class Host:
    """Answers every request with what it is told to."""

    def __init__(self) -> None:
        self.answer = b""
        self.url = ""

    def behave(self, connection: socket.socket, _: Any) -> None:
        connection.sendall(self.answer)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    with raw_server(made.behave) as made.url:
        yield made


@pytest.fixture(scope="module")
def fetch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetcher]:
    """Nothing is looked up beyond this machine; the resolver's own checks of a name stay as they are."""
    real = socket.getaddrinfo

    def numeric_only(name: str, port: int, *_: Any, **__: Any) -> Any:
        found = real(name, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        if any(ip_address(entry[4][0]).is_global for entry in found):
            raise socket.gaierror("not from a test")
        return found

    folder = tmp_path_factory.mktemp("pictures")
    (folder / "loop").symlink_to(folder / "loop")
    made = Fetcher(LOCAL.model_copy(update={"allow_files": (folder,)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", numeric_only)
        yield made
    made.close()


@pytest.fixture(scope="module")
def store() -> Iterator[Fetcher]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening: refuses
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        given = {"buckets": "known", "endpoint": endpoint, "access_key_id": "a", "secret_access_key": "b"}
        made = Fetcher(LOCAL, S3Settings.model_validate(given))
        yield made
        made.close()


def code_of(fetch: Fetcher, url: str) -> str:
    with pytest.raises(FetchFailedError) as caught:
        fetch.fetch(url)
    assert len(caught.value.detail) < 1000
    return caught.value.code


@pytest.mark.parametrize("url", HOSTILE, ids=lambda url: repr(url[:30]))
def test_hostile_urls_are_invalid(fetch: Fetcher, url: str) -> None:
    """A sender's mistake, told at once: no retry, and no failure of the worker's."""
    assert code_of(fetch, url) in {"invalid_url", "unsupported_scheme"}
    assert code_of(fetch, url.replace("http", "ftp", 1) or "x:") in {"invalid_url", "unsupported_scheme"}


@pytest.mark.parametrize("url", FILES, ids=lambda url: repr(url[:30]))
def test_hostile_file_urls_are_invalid(fetch: Fetcher, url: str) -> None:
    """What no path can be made of."""
    assert code_of(fetch, url) in {"invalid_url", "file_refused", "file_unreadable"}


def test_unusual_names_can_be_looked_up(fetch: Fetcher) -> None:
    """Names beyond ASCII in either spelling, emoji, underscores, a dot at the end: they fail only since nobody is asked."""
    for name in ("图片.example.org", "xn--fsq.example.org", "xn--i-7iq.ws", "cdn_1.example.org.", "a" * 63 + ".org", "例。org"):
        assert code_of(fetch, f"http://{name}/a.jpg") == "host_not_found"
    assert code_of(fetch, "http://10。0。0。1/a.jpg") == "address_refused"


LIKELY = st.text(alphabet="htps3file:/@?#[]\\.%0189ax-\x00\x7f\u00e9\u3002\u200d\ufffd ", max_size=30)
SCHEMES = st.sampled_from(["http://", "https://", "HTTP:", "file://", "s3://known/", "s3://", "//", ""])
# Off this machine nothing is asked, and on it nobody listens at these ports: an answer would be an example of its own.
SETTINGS = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(SCHEMES, st.text() | LIKELY)
def test_any_url_fails_with_a_code(fetch: Fetcher, scheme: str, rest: str) -> None:
    """``FetchFailedError`` and nothing else."""
    code_of(fetch, scheme + rest)


@SETTINGS
@example(b"")
@example(b" ")
@example(b"http://[::1")
@example(b"http://a:b/")
@example(b"http://xn--a/")
@example(b"http://xn--zz--/")
@example(b"http://x\x01y/")
@example(b"http://h/" + b"a" * 66_000)
@example(b"../../..//\\")
@example(b"//host")
@example(b"\xff\xfe")
@example("http://\u2100/".encode())
@given(st.binary(max_size=60) | st.tuples(SCHEMES, LIKELY).map(lambda parts: "".join(parts).encode()))
def test_any_location_fails_with_a_code(fetch: Fetcher, host: Host, location: bytes) -> None:
    """Relative, absolute or noise: ``FetchFailedError`` and nothing else."""
    host.answer = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    code_of(fetch, host.url + "/a.jpg")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: \r\nContent-Length: 0\r\n\r\n", "http_unexpected_status"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "connection_broken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "too_many_bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "connection_broken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "connection_broken"),
        (b"HTTP/1.1 999 Strange\r\nContent-Length: 0\r\n\r\n", "http_server_error"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "connection_broken"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, "connection_broken"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "connection_broken"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "http_unexpected_status"),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\nx", "http_unexpected_status"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "http_unexpected_status"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "connection_broken"),
        (b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n", "connection_broken"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000 + b"\r\n", "connection_broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "connection_broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 5000, "connection_broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "connection_broken"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "connection_broken"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: \xff" + b"x" * 5000 + b", br\r\nContent-Length: 1\r\n\r\nx",
            "unsupported_encoding",
        ),
        (b"\xff\xd8\xff\xe0 a picture and no head", "connection_broken"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "connection_broken"),
    ],
    ids=lambda value: repr(value[:50]),
)
def test_hostile_answers_have_a_code(fetch: Fetcher, host: Host, answer: bytes, code: str) -> None:
    """Heads that are none, lies about length, statuses that mean nothing here."""
    host.answer = answer
    assert code_of(fetch, host.url + "/a.jpg") == code


@SETTINGS
@given(
    st.binary(max_size=20),
    st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\nLocation: ", b"HTTP/1.1 ", b""]),
    st.sampled_from([b"\r\nTransfer-Encoding: chunked\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n", b"\r\n\r\n", b""]),
    st.binary(max_size=20),
)
def test_any_answer_gives_bytes_or_a_code(
    fetch: Fetcher, host: Host, noise: bytes, start: bytes, middle: bytes, body: bytes
) -> None:
    """Noise after every part of an answer."""
    host.answer = start + noise + middle + body
    try:
        assert isinstance(fetch.fetch(host.url + "/a.jpg"), bytes)
    except FetchFailedError as error:
        assert error.code


def test_answers_that_never_begin_end_with_the_total_time() -> None:
    """Interim answers (RFC 9110, 15.2) keep every read busy; the deadline does not mind."""

    def storm(connection: socket.socket, over: threading.Event) -> None:
        while not over.is_set():
            connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")

    made = Fetcher(IMPATIENT)
    with raw_server(storm) as url:
        assert code_of(made, url + "/a.jpg") == "fetch_timeout"
    made.close()


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        (b"/caf\xe9%20x?y=\xff", b"https://a.org/caf%E9%20x?y=%FF"),
        ("/图.jpg".encode(), b"https://a.org/%E5%9B%BE.jpg"),
        (b"//b.org:444/x", b"https://b.org:444/x"),
        (b"../../x", b"https://a.org/x"),
        (b"?y", b"https://a.org/p/q?y"),
        ("http://例.org/".encode(), b"http://xn--fsq.org/"),
    ],
)
def test_locations_are_asked_for_as_their_hosts_mean_them(location: bytes, asked: bytes) -> None:
    """RFC 3986, and bytes that are no UTF-8 as they are."""
    found = resolve_location(parse_url("https://a.org/p/q?z"), location)
    assert found.request.scheme + b"://" + found.authority + found.request.target == asked


def test_a_socket_that_another_thread_closed_is_a_passing_failure(fetch: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen once in 770 fetches: the pool looks at a connection whose descriptor is gone."""

    def gone(*_: Any, **__: Any) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fetch._http._pool, "handle_request", gone)
    with pytest.raises(FetchFailedError, match="connection_broken") as caught:
        fetch.fetch("http://127.0.0.1/a.jpg")
    assert caught.value.transient


def test_names_of_files_are_bytes(tmp_path: Path) -> None:
    """Escapes that are no UTF-8 name the file that has these bytes; what is said of them is text all the same."""
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(b"body")
    made = Fetcher(LOCAL.model_copy(update={"allow_files": (tmp_path,)}))
    assert made.fetch(f"{tmp_path.as_uri()}/%ff.jpg") == b"body"
    with pytest.raises(FetchFailedError, match="file_not_found") as caught:
        made.fetch(f"{tmp_path.as_uri()}/%fe.jpg")
    assert caught.value.detail.encode()
    made.close()


@SETTINGS
@example("\x00")
@example("..")
@example("a//b")
@given(st.text(min_size=1) | LIKELY)
def test_any_object_key_fails_with_a_code(store: Fetcher, key: str) -> None:
    """Nobody listens at this store: all that is left is what a key is made of."""
    assert code_of(store, "s3://known/" + key) in {"invalid_url", "store_failed"}
