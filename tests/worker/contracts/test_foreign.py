"""Bodies that are not JSON are named, with what their sender should change."""

from __future__ import annotations

import gzip
import json
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.contracts.cloudevents import parse_event
from worker.contracts.foreign import describe
from worker.errors import EventError

BODY = json.dumps({"event_id": "e1", "image_id": "a1", "url": "u", "uploaded_at": "2026-01-02T03:04:05Z"}).encode()
# image_id and url as fields 1 and 2 of a Protobuf message, and as strings of an Avro record.
PROTOBUF = b"\x0a\x02a1\x12\x11http://h/a?\xc3\xa9.jpg"
AVRO = b"\x04a1\x1chttp://h/a.jpg"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\x00" + struct.pack(">I", 42) + BODY, "Confluent's wire format (magic byte 0, schema 42) with JSON behind it"),
        (b"\x00" + struct.pack(">I", 42) + AVRO, "schema 42) with Avro or Protobuf behind it"),
        (b"\x00" + struct.pack(">I", 256) + b"\x00" + PROTOBUF, "schema 256) with Avro or Protobuf behind it"),
        (b"\x03\x00" + bytes(range(16)) + AVRO, "AWS Glue"),
        (b"Obj\x01\x04\x14avro.codec", "Avro object container"),
        (b"\xc3\x01" + bytes(8) + AVRO, "Avro's single-object encoding"),
        (PROTOBUF, "may be Protobuf"),
        (b"\x08\x96\x01", "may be Protobuf"),
        (BODY.decode().encode("utf-16")[:-1], "UTF-16"),
        (BODY.decode().encode("utf-16-le")[:-1], "UTF-16"),
        (BODY.decode().encode("utf-16-be")[:-1], "UTF-16"),
        (BODY.decode().encode("utf-32-be")[:-1], "UTF-32"),
        (BODY.decode().encode("utf-32-le")[:-1], "UTF-32"),
        (gzip.compress(BODY, mtime=0), "gzip"),
        (b"\x28\xb5\x2f\xfd\x24\x00", "Zstandard"),
        (b"\xac\xed\x00\x05t\x00", "Java"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "JPEG"),
        (b"<html></html>", "XML"),
        (str({"event_id": "e1"}).encode(), "Python"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_known_forms_are_named(body: bytes, said: str) -> None:
    """The detail of the dead letter says what came and what should."""
    with pytest.raises(EventError) as caught:
        parse_event(body, {})
    assert caught.value.code == "not_json"
    assert said in caught.value.detail
    assert ";" in caught.value.detail, "no remedy"


@pytest.mark.parametrize("body", [b"hello", b"{", b"e1,a1,http://h/a.jpg", "图片".encode(), b"\x80\x80", b"\x00", b""])
def test_others_are_not_given_a_name(body: bytes) -> None:
    """A wrong name sends people the wrong way."""
    assert describe(body) is None


@given(st.binary(max_size=60))
def test_no_bytes_raise(body: bytes) -> None:
    """And what is said is a line."""
    said = describe(body)
    assert said is None or (said.isprintable() and len(said) < 300)


def test_pickles_of_events_are_refused_unread() -> None:
    """Nothing is ever unpickled."""
    with pytest.raises(EventError, match="not_json"):
        parse_event(pickle.dumps({"event_id": "e1"}), {})
