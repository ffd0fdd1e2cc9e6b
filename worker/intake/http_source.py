"""Bytes over HTTP and HTTPS, within limits on time, size and redirects.

The deadline is enforced below TLS and HTTP, at every single read of the socket: a host that sends one byte a second is cut
off as surely as one that sends nothing.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpcore

from worker.errors import FetchFailedError
from worker.intake.guard import AddressGuard
from worker.intake.proxy import Proxy
from worker.intake.urls import Target, parse_url, resolve_location
from worker.settings import FetchSettings

__all__ = ["HttpSource"]

REDIRECTS = {301, 302, 303, 307, 308}
MOST_DIGITS = 18
ENCODINGS = {
    b"aes128gcm", b"br", b"bzip2", b"compress", b"dcb", b"dcz", b"deflate", b"exi", b"gzip", b"lzma", b"pack200-gzip", b"xz",
    b"x-bzip2", b"x-compress", b"x-deflate", b"x-gzip", b"x-zstd", b"zstd",
}  # fmt: skip
"""Content codings that change the bytes (IANA's registry, and three that browsers and archives use).

Anything else (``aws-chunked``, ``UTF-8``, ``none``, ``image/jpeg``) is metadata that an uploader gave to an object store, and
stands for plain bytes.
"""
HEADERS = [(b"User-Agent", b"iqa-fleet"), (b"Accept", b"image/*,*/*;q=0.5"), (b"Accept-Encoding", b"identity")]


class _Deadline(threading.local):
    """When the calling thread's fetch must be over (monotonic seconds)."""

    at = float("inf")

    def left(self, limit: float | None, error: type[Exception]) -> float | None:
        seconds = self.at - time.monotonic()
        if seconds <= 0:
            raise error("the total time is used up")
        return min(seconds, limit) if limit is not None else seconds


class _Stream(httpcore.NetworkStream):
    """A socket whose reads and writes all end by the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _GuardedBackend(httpcore.NetworkBackend):
    """Dials only addresses that the guard permits."""

    def __init__(self, guard: AddressGuard, deadline: _Deadline, proxy: Proxy | None) -> None:
        self._guard, self._deadline, self._proxy = guard, deadline, proxy
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        failure: Exception | None = None
        for address in self._guard.resolve(host, port, left if left is not None else 10.0):
            left = self._deadline.left(timeout, httpcore.ConnectTimeout)
            try:
                # A numeric address: connecting resolves nothing again.
                stream = self._dial(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return stream
        raise failure or httpcore.ConnectError(f"{host} has no address")

    def _dial(self, address: str, port: int, timeout: float | None, *options: Any) -> httpcore.NetworkStream:
        if self._proxy is None:
            return _Stream(self._plain.connect_tcp(address, port, timeout, *options), self._deadline)
        # The proxy is the operator's own: where it stands is not checked, where it leads to has been.
        plain = self._plain.connect_tcp(self._proxy.host, self._proxy.port, timeout, *options)
        stream = _Stream(plain, self._deadline)
        try:
            self._proxy.tunnel(stream, address, port, timeout)
        except BaseException:
            stream.close()
            raise
        return stream


@dataclass(frozen=True)
class _Answer:
    """A body, or where a redirect points."""

    body: bytes | None = None
    location: bytes = b""


class HttpSource:
    """Fetches with one pool of connections; safe to use from many threads."""

    def __init__(self, settings: FetchSettings, connections: int = 64) -> None:
        self._settings = settings
        self._deadline = _Deadline()
        proxy = settings.proxy.get_secret_value() if settings.proxy else None
        self._guard = AddressGuard(settings.allow_networks, hosts=settings.allow_hosts, ports=settings.allow_ports)
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=15.0,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            network_backend=_GuardedBackend(self._guard, self._deadline, Proxy(proxy) if proxy else None),
        )

    def fetch(self, url: str) -> bytes:
        """The body behind ``url``, redirects followed.

        Raises:
            FetchFailedError: with a code that the worker's README lists; ``transient`` if trying again may help.

        """
        self._deadline.at = time.monotonic() + self._settings.total_timeout_s
        target = parse_url(url)
        for _ in range(self._settings.max_redirects + 1):
            with _failures_have_codes(target.host):
                answer = self._get(target)
            if answer.body is not None:
                return answer.body
            target = resolve_location(target, answer.location)
        raise FetchFailedError("too_many_redirects", f"more than {self._settings.max_redirects} redirects")

    def _get(self, target: Target) -> _Answer:
        limit = self._settings.connect_timeout_s
        timeouts = {"connect": limit, "pool": self._settings.total_timeout_s}
        with self._pool.stream(
            "GET", target.request, headers=[(b"Host", target.authority), *HEADERS], extensions={"timeout": timeouts}
        ) as response:
            headers = {name.lower(): value for name, value in response.headers}
            location = headers.get(b"location", b"").strip()
            if response.status in REDIRECTS and location:
                return _Answer(location=location)
            _check_status(response.status, target.host)
            _check_encodings(value for name, value in response.headers if name.lower() == b"content-encoding")
            return _Answer(body=self._body(response, headers))

    def _body(self, response: httpcore.Response, headers: dict[bytes, bytes]) -> bytes:
        most = self._settings.max_bytes
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:MOST_DIGITS]) > most:
            raise FetchFailedError(
                "too_many_bytes", f"{int(length[:MOST_DIGITS])} bytes, at most {most} are taken: send it smaller"
            )
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > most:
                raise FetchFailedError("too_many_bytes", f"more than {most} bytes: send it smaller")
        return bytes(body)

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()
        self._guard.close()


@contextmanager
def _failures_have_codes(host: str) -> Iterator[None]:
    """Whatever goes wrong between here and ``host`` is a ``FetchFailedError``."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise FetchFailedError("fetch_timeout", f"{host} took too long", transient=True) from error
    except httpcore.ConnectError as error:
        cause = _cause(error)
        if isinstance(cause, ssl.SSLError):
            raise FetchFailedError("tls_failed", f"no trusted connection with {host}: {_tls_fault(cause)}") from error
        raise FetchFailedError("connect_failed", f"cannot connect to {host}{_why(cause)}", transient=True) from error
    except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol) as error:
        # Raised before anything is sent: what was asked for cannot be put into a request.
        raise FetchFailedError("invalid_url", f"{host} cannot be asked for this URL") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
        # Sockets that another thread has just closed raise OSError, numbers that are too long ValueError.
        raise FetchFailedError("connection_broken", f"{host} broke off before the file was whole", transient=True) from error


def _cause(error: BaseException) -> BaseException:
    """The first error of the chain: httpcore raises its own ones from it, or in spite of it."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error


def _why(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return ": no such host"
    if isinstance(error, ConnectionRefusedError):
        return ": it refuses connections"
    return ": it broke off" if isinstance(error, ConnectionResetError) else ""


def _tls_fault(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid here ({error.verify_message})"
    return "it does not speak TLS as it should"


def _check_encodings(values: Iterable[bytes]) -> None:
    """Refuse bodies that are packed, however many headers and names say so."""
    for label in b",".join(values).lower().split(b","):
        name = label.partition(b";")[0].strip(b" \t\"'")
        if name in ENCODINGS:
            raise FetchFailedError(
                "unsupported_encoding", f"the file is sent packed ({name.decode('ascii')}): store it unpacked"
            )


def _check_status(status: int, host: str) -> None:
    if status == 200:
        return
    if status in {404, 410}:
        raise FetchFailedError("http_not_found", f"{host} answered {status}")
    if status in {401, 403}:
        raise FetchFailedError("http_forbidden", f"{host} answered {status}")
    if status in {408, 425, 429} or status >= 500:
        raise FetchFailedError("http_server_error", f"{host} answered {status}", transient=True)
    raise FetchFailedError("http_unexpected_status", f"{host} answered {status}")
