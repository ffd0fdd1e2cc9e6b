"""Whatever a record carries, reading it never raises, and never takes the process along."""

from __future__ import annotations

from typing import Any, cast

import pytest
from confluent_kafka import Message

from tests.hostile.raw_producer import RawProducer
from tests.worker.helpers import make_settings
from tests.worker.stack import PROPERTIES, read
from worker.embedded.broker import EmbeddedBroker
from worker.stream.incoming import Record, read_record


def test_header_names_that_are_not_utf_8() -> None:
    """Read from a broker, a hundred times each: a list with a NULL in it would end the process now and then."""
    with EmbeddedBroker(["image.uploads"], 1) as broker:
        with RawProducer(broker.bootstrap_servers) as producer:
            for number in range(200):
                name = b"\xff\xfe\xfd" if number % 2 else b"name"
                producer.send("image.uploads", b"{}", b"k%d" % number, [(b"first", b"1"), (name, b"\xff"), (b"last", b"2")])
        settings = make_settings(kafka={"bootstrap_servers": broker.bootstrap_servers, "properties": PROPERTIES})
        records = [read_record(message) for message in read(settings, "image.uploads", 200)]
    assert len(records) == 200
    bad = [record for record in records if record.unreadable is not None]
    assert [record.key for record in bad] == [b"k%d" % number for number in range(1, 200, 2)]
    assert {record.headers for record in bad} == {()}
    assert {record.value for record in records} == {b"{}"}
    good = next(record for record in records if record.unreadable is None)
    assert good.headers == (("first", b"1"), ("name", b"\xff"), ("last", b"2"))


class Odd:
    """A message whose headers come in another way, or not at all."""

    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def headers(self) -> Any:
        if isinstance(self._headers, Exception):
            raise self._headers
        return self._headers

    def __getattr__(self, _: str) -> Any:
        return lambda: None

    def timestamp(self) -> tuple[int, int]:
        return 0, -1


@pytest.mark.parametrize(
    ("headers", "found", "readable"),
    [
        (None, (), True),
        ([], (), True),
        ({"a": b"1"}, (("a", b"1"),), True),
        ([("a", None), ("a", "text"), ("", b"")], (("a", None), ("a", b"text"), ("", b"")), True),
        ([("a",)], (), False),
        (SystemError("returned a result with an exception set"), (), False),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), (), False),
    ],
)
def test_headers_of_every_kind(headers: Any, found: tuple[object, ...], readable: bool) -> None:
    """Lists, dictionaries, nothing; what cannot be read is said, and the rest of the record is there."""
    record = read_record(cast("Message", Odd(headers)))
    assert record.headers == found
    assert (record.unreadable is None) is readable
    assert (record.key, record.value, record.some_key) == (None, None, b"/0/0")


def test_everything_counts() -> None:
    """Headers and keys take memory as bodies do."""
    small = Record("t", 0, 0)
    large = Record("t", 0, 0, b"k" * 1_000, b"v" * 10, (("name", b"h" * 900_000), ("none", None)))
    assert large.size - small.size == 1_000 + 10 + 4 + 900_000 + 4
