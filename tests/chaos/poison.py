"""Records that nobody should send, of every kind that has ever stopped a worker, and what must become of each."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import KafkaError, Message, Producer

from tests.chaos.load import Load
from tests.chaos.witness import DeadLetter, identity
from tests.hostile.raw_producer import RawProducer
from worker.contracts.events import ImageUploaded
from worker.settings import Settings
from worker.stream.clients import make_producer

__all__ = ["Poison", "as_expected", "poisons", "send_poison"]

LARGE = 5_000_000
"""Bytes, before compression: more than a topic takes, less than an event may have."""

HUGE_HEADER = 1_500_000
EVERY = 50
"""Of so many records one is large: each costs a worker some hundred core-ms."""

NO_EVENT = frozenset({"empty_body", "not_json", "invalid_event"})
LIMITS = {"message.max.bytes": 8_000_000, "compression.type": "gzip"}


@dataclass(frozen=True)
class Poison:
    """One record, and its reason as a dead letter: any of ``reasons``. ``cut``: the dead letter cannot be whole."""

    value: bytes | None = field(repr=False)
    reasons: frozenset[str] = NO_EVENT
    headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    cut: bool = False

    @property
    def identity(self) -> str:
        """See ``witness.identity``."""
        return identity(self.value)


def poisons(count: int, event: Callable[[int], ImageUploaded]) -> Iterator[Poison]:
    """``count`` of them, by turns; ``event`` makes a good event of a number, to be spoilt."""
    ways = (_empty, _tombstone, _junk, _deep, _deeper, _too_large_a_number, _framed, _foreign_header_name, _compressed)
    rare = (_large_nonsense, _huge_header)
    for number in range(count):
        turn, rest = divmod(number, EVERY)
        make = rare[turn % len(rare)] if rest == EVERY // 2 else ways[number % len(ways)]
        yield make(number, json.loads(event(number).model_dump_json()))


def _spoilt(event: dict[str, object], metadata: str) -> bytes:
    return (json.dumps(event | {"metadata": 0})[:-2] + metadata + "}").encode()


def _empty(number: int, event: dict[str, object]) -> Poison:
    return Poison(b"", frozenset({"empty_body"}))


def _tombstone(number: int, event: dict[str, object]) -> Poison:
    return Poison(None, frozenset({"empty_body"}))


def _junk(number: int, event: dict[str, object]) -> Poison:
    ways = (b"{%d", b"[%d]", b'"%d"', b'{"event_id": %d}', b"\xff\xfe%d", b'{"event_id": "e", "image_id": "i", "url": %d}')
    return Poison(ways[number % len(ways)] % number)


def _deep(number: int, event: dict[str, object]) -> Poison:
    return Poison(_spoilt(event, '{"a": ' + "[" * 220 + "]" * 220 + "}"), frozenset({"invalid_event"}))


def _deeper(number: int, event: dict[str, object]) -> Poison:
    return Poison(_spoilt(event, '{"a": ' + "[" * 985 + "]" * 985 + "}"))


def _too_large_a_number(number: int, event: dict[str, object]) -> Poison:
    return Poison(_spoilt(event, '{"a": 1e400}'), frozenset({"invalid_event"}))


def _framed(number: int, event: dict[str, object]) -> Poison:
    return Poison(b"\x00\x00\x00\x00\x07" + json.dumps(event).encode(), frozenset({"not_json"}))


def _compressed(number: int, event: dict[str, object]) -> Poison:
    return Poison(zlib.compress(json.dumps(event).encode()), frozenset({"not_json"}))


def _foreign_header_name(number: int, event: dict[str, object]) -> Poison:
    return Poison(json.dumps(event).encode(), frozenset({"unreadable_headers"}), ((b"na\xefve", b"1"), (b"good", b"2")))


def _large_nonsense(number: int, event: dict[str, object]) -> Poison:
    return Poison(b"{%d" % number + b"x" * LARGE, frozenset({"not_json"}), cut=True)


def _huge_header(number: int, event: dict[str, object]) -> Poison:
    return Poison(b"{%d" % number, frozenset({"not_json"}), ((b"trace", b"t" * HUGE_HEADER),), cut=True)


def send_poison(settings: Settings, records: Sequence[Poison], partitions: int) -> None:
    """Spread ``records`` over all partitions of the uploads topic.

    Raises:
        TimeoutError: the broker does not take them.

    """
    topic = settings.topics.uploads
    producer: Producer = make_producer(settings.kafka, **LIMITS)
    with RawProducer(settings.kafka.bootstrap_servers) as raw:
        for number, record in enumerate(records):
            partition = number % partitions
            if any(not _is_utf8(name) for name, _ in record.headers):
                raw.send(topic, record.value or b"", b"poison", record.headers, partition)
                continue
            headers: list[tuple[str, str | bytes | None]] = [(name.decode(), value) for name, value in record.headers]
            producer.produce(topic, record.value, b"poison", partition, headers=headers)
            producer.poll(0)
    if producer.flush(60):
        raise TimeoutError("the broker does not take poison")


def send_large(settings: Settings, load: Load, events: Sequence[tuple[ImageUploaded, int]]) -> None:
    """Send good events (each with its partition) that carry more metadata than a verdict can; ``load`` counts them.

    Raises:
        TimeoutError: the broker does not take them.

    """
    producer: Producer = make_producer(settings.kafka, **LIMITS)

    def delivered(event: ImageUploaded, error: KafkaError | None, message: Message) -> None:
        if error is None:
            load.adopt(event, message)

    for event, partition in events:
        large = event.model_copy(update={"metadata": {"notes": "n" * LARGE}})
        body, key = large.model_dump_json().encode(), large.image_id.encode()
        producer.produce(settings.topics.uploads, body, key, partition, on_delivery=partial(delivered, event))
    if producer.flush(60) or not all(event.event_id in load.sent for event, _ in events):
        raise TimeoutError("the broker does not take large events")


def as_expected(letter: DeadLetter, wanted: Mapping[str, Poison]) -> bool:
    """Whether a dead letter that stands for one of ``wanted`` (by identity) has its reason, and tells what it lacks."""
    poison = wanted[letter.identity]
    value = poison.value or b""
    if letter.reason not in poison.reasons or letter.whole_bytes != len(value):
        return False
    return value.startswith(letter.body) if poison.cut else letter.body == value


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
