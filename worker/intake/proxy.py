"""Tunnels through an HTTP proxy (CONNECT, RFC 9110, 9.3.6) to addresses that were checked here.

The proxy is asked for a numeric address, never for a name: what it dials is what the guard has let through, and TLS still
checks the name from end to end.
"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import unquote, urlsplit

import httpcore

__all__ = ["Proxy"]

MOST_HEAD = 8192
CHUNK = 1024


class Proxy:
    """An HTTP proxy, by its URL: ``http://[user:password@]host:port``."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 3128
        self._credentials = b""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._credentials = b"Proxy-Authorization: Basic " + b64encode(pair) + b"\r\n"

    def tunnel(self, stream: httpcore.NetworkStream, address: str, port: int, timeout: float | None) -> None:
        """Have the proxy, to which ``stream`` leads, dial ``address`` (numeric); then the stream leads there.

        Raises:
            httpcore.ConnectError: it refuses, or answers no HTTP.
            httpcore.TimeoutException: it takes too long.

        """
        target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n".encode()
        stream.write(head + self._credentials + b"\r\n", timeout)
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = stream.read(CHUNK, timeout)
            answer += part
            if not part or len(answer) > MOST_HEAD:
                raise httpcore.ConnectError("the proxy gave no answer to CONNECT")
        status = answer.split(b"\r\n", 1)[0].split(b" ")
        if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or status[1] != b"200":
            told = status[1][:3].decode("ascii", "replace") if len(status) > 1 else "nothing"
            raise httpcore.ConnectError(f"the proxy answered {told} to CONNECT")
        if not answer.endswith(b"\r\n\r\n"):
            raise httpcore.ConnectError("the proxy spoke before it was asked")
