"""A receiver of traces, by OTLP over HTTP with Protobuf bodies: a process of its own, which writes every span down.

As a program: ``python -m tests.integration.otlp_receiver FILE`` listens on any free port, says which in its first line
of output, and appends a JSON object for each span to FILE.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["Receiver", "Seen"]


@dataclass(frozen=True)
class Seen:
    """One span as it came over the wire. Ids are hexadecimal; ``parent`` is "" where there is none."""

    name: str
    kind: str
    trace: str
    span: str
    parent: str
    status: str
    attributes: dict[str, Any]
    links: list[tuple[str, str, dict[str, Any]]]
    took_ns: int
    resource: dict[str, Any]
    scope: list[str] = field(repr=False)
    request: dict[str, str] = field(repr=False)
    """Headers of the request that it came with, names in lower case."""

    @property
    def linked(self) -> list[str]:
        """Ids of the spans that it links to."""
        return [span for _, span, _ in self.links]


class Receiver:
    """The process; ``seen`` are all spans that it has by now."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "spans.jsonl"
        command = [sys.executable, "-m", "tests.integration.otlp_receiver", str(self._file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    @property
    def seen(self) -> list[Seen]:
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        found = [Seen(**json.loads(line)) for line in lines]
        return [replace(span, links=[(trace, made, told) for trace, made, told in span.links]) for span in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()


def _values(pairs: Any) -> dict[str, Any]:
    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")

    return {pair.key: value(pair) for pair in pairs}


def _written(span: Span, **more: Any) -> str:
    found = {
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        "trace": span.trace_id.hex(),
        "span": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "status": {0: "unset", 1: "ok", 2: "error"}[span.status.code],
        "attributes": _values(span.attributes),
        "links": [[link.trace_id.hex(), link.span_id.hex(), _values(link.attributes)] for link in span.links],
        "took_ns": span.end_time_unix_nano - span.start_time_unix_nano,
    }
    return json.dumps({**found, **more}) + "\n"


def _lines(body: bytes, headers: dict[str, str]) -> list[str]:
    return [
        _written(
            span,
            resource=_values(each.resource.attributes),
            scope=[scope.scope.name, scope.schema_url],
            request=headers,
        )
        for each in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in each.scope_spans
        for span in scope.spans
    ]


def main(file: Path) -> None:
    """Listen until killed."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            body = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            fits = self.path == "/v1/traces" and headers["content-type"] == "application/x-protobuf"
            if fits:
                with file.open("a") as out:
                    out.write("".join(_lines(body, headers)))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if fits else 400)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
