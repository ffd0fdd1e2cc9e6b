"""Writes records as programs in C, Go or Rust may: header names are any bytes, which the Python client refuses to send."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from worker.embedded.broker import _library

__all__ = ["RawProducer"]

TOPIC, PARTITION, VALUE, KEY, HEADER = 1, 3, 4, 5, 9
"""``rd_kafka_vtype_t`` in ``rdkafka.h``."""


class _Memory(ctypes.Structure):
    _fields_ = [("pointer", ctypes.c_char_p), ("size", ctypes.c_size_t)]


class _Header(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_char_p), ("size", ctypes.c_ssize_t)]


class _Union(ctypes.Union):
    _fields_ = [
        ("text", ctypes.c_char_p),
        ("number", ctypes.c_int32),
        ("memory", _Memory),
        ("header", _Header),
        ("padding", ctypes.c_char * 64),
    ]


class _Part(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("u", _Union)]


class RawProducer:
    """A producer by librdkafka's C API (``rd_kafka_produceva``)."""

    def __init__(self, servers: str, **properties: str) -> None:
        lib = self._lib = _library()
        lib.rd_kafka_new.restype = lib.rd_kafka_conf_new.restype = lib.rd_kafka_produceva.restype = ctypes.c_void_p
        conf = ctypes.c_void_p(lib.rd_kafka_conf_new())
        reason = ctypes.create_string_buffer(512)
        for name, value in {"bootstrap.servers": servers, "log_level": "0", **properties}.items():
            assert lib.rd_kafka_conf_set(conf, name.encode(), value.encode(), reason, ctypes.c_size_t(512)) == 0, reason.value
        self._handle = ctypes.c_void_p(lib.rd_kafka_new(0, conf, reason, ctypes.c_size_t(512)))
        assert self._handle.value, reason.value

    def send(
        self, topic: str, value: bytes, key: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = (), partition: int = -1
    ) -> None:
        """Hand one record over; ``flush`` waits for the broker."""
        parts = [
            _Part(TOPIC, _Union(text=topic.encode())),
            _Part(PARTITION, _Union(number=partition)),
            _Part(VALUE, _Union(memory=_Memory(value, len(value)))),
            _Part(KEY, _Union(memory=_Memory(key, len(key)))),
            *(_Part(HEADER, _Union(header=_Header(name, content, len(content)))) for name, content in headers),
        ]
        # Without RD_KAFKA_MSG_F_COPY the library keeps our memory; flushed before this returns, it is no longer needed.
        failed = self._lib.rd_kafka_produceva(self._handle, (_Part * len(parts))(*parts), ctypes.c_size_t(len(parts)))
        assert not failed, "the record was not taken"
        self.flush()

    def flush(self) -> None:
        """Until the broker has everything."""
        assert self._lib.rd_kafka_flush(self._handle, 30_000) == 0, "the broker did not take the records"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lib.rd_kafka_destroy(self._handle)
