"""librdkafka clients with the properties that the guarantees rest on."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from worker.errors import BrokerError, SettingsError
from worker.settings import KafkaSettings

__all__ = [
    "CLIENT_ID",
    "MAX_RECORD_BYTES",
    "check",
    "make_admin",
    "make_consumer",
    "make_producer",
    "make_transactional_producer",
    "quiet_clients",
    "require_broker",
]

MAX_RECORD_BYTES = 4_000_000
"""A verdict may be larger than its event, and a dead letter carries headers on top."""

CLIENT_ID = f"iqa-{re.sub(r'[^a-zA-Z0-9._-]', '-', socket.gethostname())[:100]}"
"""What clients call themselves, unless the property ``client.id`` says otherwise."""

TRANSACTION_MS = 10_000

ANSWER_S = 3.0
"""For a broker's first answer to a command: with the start of the process, a command that gets none takes five seconds."""

# Properties of one kind of client that the other would only warn about.
_CONSUMER_ONLY = ("session.", "heartbeat.", "max.poll.", "fetch.", "auto.offset", "group.", "partition.assignment", "queued.")
_PRODUCER_ONLY = (
    "linger.",
    "batch.",
    "acks",
    "delivery.timeout",
    "transaction",
    "compression.",
    "enable.idempotence",
    "partitioner",
)

# The broker's business where it assigns partitions (KIP-848): librdkafka refuses them there.
_CLASSIC_ONLY = ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type")

# Nothing that a client does makes a topic; librdkafka's producers and admin clients would, where the broker allows it.
_NO_TOPICS = {"allow.auto.create.topics": False}

# A peer that lost its power says nothing: without these, its connections are waited for a minute and longer.
_NETWORK = {
    # Brokers' logs and quotas, and who looks at a group's members, know a client by it: in Kubernetes this is the pod.
    "client.id": CLIENT_ID,
    "socket.timeout.ms": 10_000,
    "socket.keepalive.enable": True,
    "reconnect.backoff.max.ms": 2_000,
    # A topic that was away for a moment, and partitions that were added, are looked for so often; else every five minutes.
    "topic.metadata.refresh.interval.ms": 10_000,
}

# What stands between a client and its broker, the most telling first.
_REFUSED = (KafkaError._AUTHENTICATION, KafkaError._SSL)  # noqa: SLF001 - the library's own names
_UNREACHABLE = (KafkaError._RESOLVE, KafkaError._TRANSPORT)  # noqa: SLF001

Client = TypeVar("Client", Consumer, Producer, AdminClient)

_log = logging.getLogger("librdkafka")


def make_consumer(settings: KafkaSettings, group_id: str, **extra: Any) -> Consumer:
    """A consumer that commits only what it is told to, and sees only committed records.

    With ``settings.protocol`` ``consumer``, what assigns partitions is the broker, and ``extra``'s assignor is left out.

    Raises:
        SettingsError: librdkafka refuses a property.

    """
    return _make(Consumer, _consumer_properties(settings, group_id, extra))


def _consumer_properties(settings: KafkaSettings, group_id: str, extra: dict[str, Any]) -> dict[str, Any]:
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
        **_NO_TOPICS,
    }
    if settings.instance_id:
        # One name for each group: a worker is a member of several.
        properties["group.instance.id"] = settings.instance_id
    if settings.protocol == "consumer":
        properties = {key: value for key, value in properties.items() if key not in _CLASSIC_ONLY}
        properties["group.protocol"] = "consumer"
    return properties


def make_producer(settings: KafkaSettings, **extra: Any) -> Producer:
    """An idempotent producer that waits for all replicas.

    Records go to the partition that Java's producers choose for their key, murmur2 of it, so that topics with as many
    partitions line up; the property ``partitioner`` may say otherwise.

    Raises:
        SettingsError: librdkafka refuses a property.

    """
    return _make(Producer, _producer_properties(settings, extra))


def _producer_properties(settings: KafkaSettings, extra: dict[str, Any]) -> dict[str, Any]:
    return {
        **_NETWORK,
        "linger.ms": 5,
        "compression.type": "lz4",
        "partitioner": "murmur2_random",
        "message.max.bytes": MAX_RECORD_BYTES,
        **_without(settings.librdkafka(), _CONSUMER_ONLY),
        **extra,
        "enable.idempotence": True,
        "acks": "all",
        **_NO_TOPICS,
    }


def make_transactional_producer(settings: KafkaSettings, transactional_id: str, **extra: Any) -> Producer:
    """A producer of transactions. One that is left open by a dead worker is over after ten seconds, not sixty.

    Raises:
        SettingsError: librdkafka refuses a property.

    """
    timeout = settings.librdkafka().get("transaction.timeout.ms", TRANSACTION_MS)
    return make_producer(settings, **{**extra, "transactional.id": transactional_id, "transaction.timeout.ms": timeout})


def make_admin(settings: KafkaSettings, **extra: Any) -> AdminClient:
    """A client for topics.

    Raises:
        SettingsError: librdkafka refuses a property.

    """
    found = _without(settings.librdkafka(), (*_CONSUMER_ONLY, *_PRODUCER_ONLY))
    return _make(AdminClient, {**_NETWORK, **found, **extra, **_NO_TOPICS})


def quiet_clients() -> None:
    """From now on librdkafka logs nothing: for commands that end with one line, which says what went wrong."""
    _log.setLevel(logging.CRITICAL + 1)


def require_broker(settings: KafkaSettings, timeout_s: float = ANSWER_S) -> None:
    """Check that a broker answers, before something that would wait for it much longer.

    Raises:
        BrokerError: none does within ``timeout_s``; with the client's reason, if it has one.
        SettingsError: librdkafka refuses a property.

    """
    reasons: dict[int, str] = {}
    admin = make_admin(settings, error_cb=lambda error: reasons.update({error.code(): error.str()}), log_level=0)
    try:
        admin.list_topics(timeout=timeout_s)
    except KafkaException as error:
        admin.poll(0)
        raise BrokerError(_no_answer(settings, reasons, timeout_s)) from error


def _no_answer(settings: KafkaSettings, reasons: dict[int, str], timeout_s: float) -> str:
    """``reasons``: what the client told, by code; the last of each."""
    code = next((code for code in (*_REFUSED, *_UNREACHABLE) if code in reasons), None)
    # "localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)"
    told = None if code is None else re.sub(r"^\S+/\w+: | \(after .*", "", reasons[code])
    reason = f": {told}" if told else f" within {timeout_s:.0f} s"
    # An address may be that of another listener, too.
    first = "IQA_KAFKA__PROPERTIES, IQA_KAFKA__PROPERTIES_FILE and " if code in _REFUSED else ""
    return f"no answer from {settings.bootstrap_servers}{reason}; check {first}IQA_KAFKA__BOOTSTRAP_SERVERS"


def _make(kind: Callable[..., Client], properties: dict[str, Any]) -> Client:
    try:
        return kind(properties, logger=_log)
    except KafkaException as error:
        raise SettingsError(f"IQA_KAFKA__PROPERTIES: {error.args[0].str()}") from error


def _without(properties: dict[str, Any], prefixes: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in properties.items() if not key.startswith(prefixes)}


def check(error: KafkaError) -> None:
    """Whether a consumer can go on after ``error``.

    ``KafkaError.fatal`` is false for fatal errors that come by ``consume``: their code tells
    (https://github.com/confluentinc/confluent-kafka-python/issues/869).

    Raises:
        BrokerError: it cannot.

    """
    if error.code() == KafkaError._FATAL or error.fatal():  # noqa: SLF001 - the library's own name
        told = "; each worker needs an IQA_KAFKA__INSTANCE_ID of its own" if "group.instance.id" in error.str() else ""
        raise BrokerError(f"the consumer cannot go on: {error.str()}{told}") from KafkaException(error)
