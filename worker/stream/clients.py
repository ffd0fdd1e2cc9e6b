"""librdkafka clients with the properties that the guarantees rest on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from worker.errors import SettingsError
from worker.settings import KafkaSettings

__all__ = ["MAX_RECORD_BYTES", "make_admin", "make_consumer", "make_producer", "make_transactional_producer"]

MAX_RECORD_BYTES = 4_000_000
"""A verdict may be larger than its event, and a dead letter carries headers on top."""

TRANSACTION_MS = 10_000

# Properties of one kind of client that the other would only warn about.
_CONSUMER_ONLY = ("session.", "heartbeat.", "max.poll.", "fetch.", "auto.offset", "group.", "partition.assignment", "queued.")
_PRODUCER_ONLY = ("linger.", "batch.", "acks", "delivery.timeout", "transaction", "compression.", "enable.idempotence")

# The broker's business where it assigns partitions (KIP-848): librdkafka refuses them there.
_CLASSIC_ONLY = ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type")

# A peer that lost its power says nothing: without these, its connections are waited for a minute and longer.
_NETWORK = {"socket.timeout.ms": 10_000, "socket.keepalive.enable": True, "reconnect.backoff.max.ms": 2_000}

Client = TypeVar("Client", Consumer, Producer, AdminClient)

_log = logging.getLogger("librdkafka")


def make_consumer(settings: KafkaSettings, group_id: str, **extra: Any) -> Consumer:
    """A consumer that commits only what it is told to, and sees only committed records.

    With ``settings.protocol`` ``consumer``, what assigns partitions is the broker, and ``extra``'s assignor is left out.

    Raises:
        SettingsError: librdkafka refuses a property.

    """
    properties = {
        **_NETWORK,
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "cooperative-sticky",
        # librdkafka prefetches 64 MiB per partition by default: events are small, and memory is bounded.
        "queued.max.messages.kbytes": 8192,
        "fetch.wait.max.ms": 100,
        # A killed worker's events wait that long; librdkafka's 45 s are for consumers whose work keeps them from the broker.
        "session.timeout.ms": 8_000,
        "heartbeat.interval.ms": 2_000,
        "isolation.level": "read_committed",
        **_without(settings.librdkafka(), _PRODUCER_ONLY),
        **extra,
        "group.id": group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }
    if settings.instance_id:
        # One name for each group: a worker is a member of several.
        properties["group.instance.id"] = settings.instance_id
    if settings.protocol == "consumer":
        properties = {key: value for key, value in properties.items() if key not in _CLASSIC_ONLY}
        properties["group.protocol"] = "consumer"
    return _make(Consumer, properties)


def make_producer(settings: KafkaSettings, **extra: Any) -> Producer:
    """An idempotent producer that waits for all replicas.

    Raises:
        SettingsError: librdkafka refuses a property.

    """
    properties = {
        **_NETWORK,
        "linger.ms": 5,
        "compression.type": "lz4",
        "message.max.bytes": MAX_RECORD_BYTES,
        **_without(settings.librdkafka(), _CONSUMER_ONLY),
        **extra,
        "enable.idempotence": True,
        "acks": "all",
    }
    return _make(Producer, properties)


def make_transactional_producer(settings: KafkaSettings, transactional_id: str, **extra: Any) -> Producer:
    """A producer of transactions. One that is left open by a dead worker is over after ten seconds, not sixty.

    Raises:
        SettingsError: librdkafka refuses a property.

    """
    timeout = settings.librdkafka().get("transaction.timeout.ms", TRANSACTION_MS)
    return make_producer(settings, **{**extra, "transactional.id": transactional_id, "transaction.timeout.ms": timeout})


def make_admin(settings: KafkaSettings) -> AdminClient:
    """A client for topics.

    Raises:
        SettingsError: librdkafka refuses a property.

    """
    return _make(AdminClient, _NETWORK | _without(settings.librdkafka(), (*_CONSUMER_ONLY, *_PRODUCER_ONLY)))


def _make(kind: Callable[..., Client], properties: dict[str, Any]) -> Client:
    try:
        return kind(properties, logger=_log)
    except KafkaException as error:
        raise SettingsError(f"IQA_KAFKA__PROPERTIES: {error.args[0].str()}") from error


def _without(properties: dict[str, Any], prefixes: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in properties.items() if not key.startswith(prefixes)}
