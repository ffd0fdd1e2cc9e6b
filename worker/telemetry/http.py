"""``/livez``, ``/readyz`` and ``/metrics`` on one port."""

from __future__ import annotations

import gzip
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, gzip_accepted

from worker.errors import SettingsError
from worker.telemetry.health import Check

__all__ = ["QuietServer", "TelemetryServer"]


class QuietServer(ThreadingHTTPServer):
    """A web server that says nothing of clients who hang up: its traceback would be no line of JSON."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Errors of our own are still shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class TelemetryServer:
    """Answers probes and scrapes from threads of its own.

    Args:
        host: address to listen on.
        port: 0 for any free one; see ``port``.
        live: why a restart would help if one fails.
        ready: why no work should be expected if one fails.
        registry: what ``/metrics`` shows.
        find_picture: gives the JPEG under a path, or ``None``.

    Raises:
        SettingsError: the port cannot be had.

    """

    def __init__(
        self,
        host: str,
        port: int,
        live: Check,
        ready: Check,
        registry: CollectorRegistry,
        find_picture: Callable[[str], bytes | None] = lambda _: None,
    ) -> None:
        handler = _make_handler({"/livez": live, "/readyz": ready}, registry, find_picture)

        class Server(QuietServer):
            # Names are for IPv4, as they have always been here; an address says by itself what it is.
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def server_bind(self) -> None:
                if self.address_family == socket.AF_INET6:
                    # "::" is everything: also IPv4, whatever the machine's default is.
                    self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                super().server_bind()

        try:
            self._server: QuietServer = Server((host, port), handler)
        except OSError as error:
            raise SettingsError(
                f"IQA_HTTP__HOST or IQA_HTTP__PORT: cannot listen on {host}:{port}: {error.strerror}"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="telemetry", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _make_handler(
    checks: Mapping[str, Check], registry: CollectorRegistry, find_picture: Callable[[str], bytes | None]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                # OpenMetrics for who asks for it, packed for who takes that.
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._send(200, kind, encode(registry), pack=gzip_accepted(self.headers.get("Accept-Encoding", "")))
            elif path in checks:
                results = checks[path]()
                self._send(200 if all(results.values()) else 503, "application/json", json.dumps(results).encode())
            elif (picture := find_picture(path)) is not None:
                self._send(200, "image/jpeg", picture)
            else:
                self._send(404, "text/plain", b"there are /livez, /readyz and /metrics\n")

        def _send(self, status: int, kind: str, body: bytes, *, pack: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if pack:
                body = gzip.compress(body, 1)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds and are not worth a line."""

    return Handler
