"""Attributes of spans, by OpenTelemetry's conventions for Kafka, version 1.44.0 (``docs/messaging/kafka.md`` there).

All of ``messaging.`` is in development there: names have changed before, and may again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from confluent_kafka import KafkaError, KafkaException

from worker.contracts.trace_context import TraceContext
from worker.contracts.verdicts import QualityVerdict
from worker.settings import Settings
from worker.stream.incoming import Record

__all__ = [
    "DESTINATION",
    "OFFSET",
    "PARTITION",
    "Attributes",
    "Told",
    "client",
    "common",
    "identity",
    "judged",
    "kind_of",
    "operation",
]

Attributes = dict[str, str | int | float | bool]

DESTINATION = "messaging.destination.name"
PARTITION = "messaging.destination.partition.id"
OFFSET = "messaging.kafka.offset"
LEAST_MS = 1.0
"""Of a stage that is told."""
MOST_KEY = 512
"""Bytes of a key that is told; a longer one is no identity that somebody would look for."""


@dataclass(frozen=True)
class Told:
    """What spans tell of one record.

    Attributes:
        made: where its sender made it, if that is known.

    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    tombstone: bool
    made: TraceContext | None

    @classmethod
    def of(cls, record: Record) -> Self:
        """The same of ``record``, without its body and headers."""
        empty = record.value is None
        return cls(record.topic, record.partition, record.offset, record.key, empty, record.trace_context)

    @cached_property
    def place(self) -> Attributes:
        """Where it lies: all that a commit tells of it."""
        return {DESTINATION: self.topic, PARTITION: str(self.partition), OFFSET: self.offset}

    @cached_property
    def attributes(self) -> Attributes:
        """Where it lies, and which one it is."""
        return self.place | identity(self.key, tombstone=self.tombstone)


def identity(key: bytes | None, *, tombstone: bool) -> Attributes:
    """A record's key where it is text, and whether the record has no body."""
    found: Attributes = {}
    try:
        if key is not None and len(key) <= MOST_KEY:
            found["messaging.kafka.message.key"] = key.decode()
    except UnicodeDecodeError:
        pass  # "if the key has no unambiguous, canonical string form, don't include its value"
    return found | {"messaging.kafka.message.tombstone": True} if tombstone else found


def common(told: Sequence[Attributes]) -> Attributes:
    """What all of them have in common."""
    return {key: value for key, value in told[0].items() if all(each.get(key) == value for each in told)} if told else {}


def client(settings: Settings) -> Attributes:
    """What all spans have."""
    properties = settings.kafka.librdkafka()
    found: Attributes = {"messaging.system": "kafka", "messaging.client.id": str(properties.get("client.id", "rdkafka"))}
    # One of several servers that a client begins with need not be the one that answers.
    servers = str(properties["bootstrap.servers"]).split(",")
    host, _, port = servers[0].strip().rpartition("://")[2].rpartition(":")
    if len(servers) == 1 and host and port.isdigit():
        found |= {"server.address": host.strip("[]"), "server.port": int(port)}
    return found


def operation(name: str, kind: str) -> Attributes:
    """Kafka's name of what is done, and the conventions' name of what that is."""
    return {"messaging.operation.name": name, "messaging.operation.type": kind}


def judged(verdict: QualityVerdict) -> Attributes:
    """What came of an event; the conventions have no names for that."""
    found: Attributes = {"iqa.status": verdict.status}
    if verdict.category is not None:
        found["iqa.category"] = verdict.category
    if verdict.reason is not None:
        found["iqa.reason"] = verdict.reason.code
    # What takes no time is not worth its own, and the total is the span's.
    stages = {stage: took for stage, took in verdict.latency_ms.items() if took >= LEAST_MS and stage != "total"}
    return found | {f"iqa.latency_ms.{stage}": took for stage, took in stages.items()}


def kind_of(error: BaseException | KafkaError) -> str:
    """Kafka's own name for what went wrong, where it has one; else the error's class."""
    cause = error.__cause__ if isinstance(error, BaseException) and error.__cause__ else error
    found = cause.args[0] if isinstance(cause, KafkaException) and cause.args else cause
    return found.name() if isinstance(found, KafkaError) else type(found).__name__
