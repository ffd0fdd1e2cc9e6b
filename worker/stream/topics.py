"""Creates the topics that workers use."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import TopicMetadata
from confluent_kafka.cimpl import NewTopic

from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream.clients import MAX_RECORD_BYTES, make_admin
from worker.stream.dead_letters import parked_topic

__all__ = ["create_topics", "ensure_topics", "require_topics"]

log = structlog.get_logger()

TIMEOUT_S = 20.0
SPREAD_S = 3.0
"""How long a new topic may be unknown to the broker that happens to be asked, while others have it."""


def create_topics(settings: Settings, partitions: int, replication: int) -> dict[str, bool]:
    """Create what is missing; returns each topic with whether it was created now.

    Raises:
        BrokerError: the broker is away or refuses.

    """
    names = settings.topics
    room = {"max.message.bytes": str(MAX_RECORD_BYTES)}
    wanted = [
        NewTopic(names.uploads, partitions, replication),
        NewTopic(names.verdicts, partitions, replication, config={**room, "cleanup.policy": "compact"}),
        *(NewTopic(name, partitions, replication, config=room) for name in settings.retry_topics),
        *(
            NewTopic(name, partitions, replication, config={**room, "retention.ms": str(30 * 86_400_000)})
            for name in (names.dead_letters, parked_topic(settings))
        ),
    ]
    return _create(make_admin(settings.kafka), settings, wanted)


def require_topics(settings: Settings, timeout_s: float = 10.0) -> None:
    """Check that the broker answers and has the topics that others share; brokers that create topics on first use do so now.

    Brokers hear of a topic one after the other, so that one just created is waited for.

    Retry topics are the workers' own business: those that are missing, after an upgrade say, are made like the uploads topic.

    Raises:
        BrokerError: it does not answer, or a topic is missing and cannot be created.

    """
    topics, admin = settings.topics, make_admin(settings.kafka)
    end, pause = time.monotonic() + SPREAD_S, threading.Event()
    for name in (topics.uploads, topics.verdicts, topics.dead_letters):
        while _look(admin, settings, name, timeout_s) is None:
            if time.monotonic() > end:
                raise BrokerError(f"topic {name} does not exist; run `iqa topics create`")
            pause.wait(0.1)
    ensure_topics(settings, settings.retry_topics, topics.uploads, timeout_s)


def ensure_topics(settings: Settings, names: Sequence[str], like: str, timeout_s: float = 10.0) -> None:
    """Create those of ``names`` that are missing, with as many partitions and copies as topic ``like`` has.

    Raises:
        BrokerError: the broker is away or refuses.

    """
    admin = make_admin(settings.kafka)
    missing = [name for name in names if _look(admin, settings, name, timeout_s) is None]
    model = _look(admin, settings, like, timeout_s) if missing else None
    if model is None:
        return
    copies = len(model.partitions[0].replicas) if 0 in model.partitions else 1
    room = {"max.message.bytes": str(MAX_RECORD_BYTES)}
    created = _create(admin, settings, [NewTopic(name, len(model.partitions), copies, config=room) for name in missing])
    log.info("topics_created", topics=sorted(created))


def _look(admin: AdminClient, settings: Settings, name: str, timeout_s: float) -> TopicMetadata | None:
    """What the broker knows about a topic; ``None`` if there is no such topic."""
    try:
        found = admin.list_topics(name, timeout=timeout_s).topics[name]
    except KafkaException as error:
        message = f"no answer from {settings.kafka.bootstrap_servers}: {error.args[0].str()}"
        raise BrokerError(f"{message}; check IQA_KAFKA__BOOTSTRAP_SERVERS") from error
    return None if found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART else found


def _create(admin: AdminClient, settings: Settings, wanted: list[NewTopic]) -> dict[str, bool]:
    created = {}
    for topic, future in admin.create_topics(wanted, request_timeout=TIMEOUT_S).items():
        try:
            future.result(TIMEOUT_S)
            created[topic] = True
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerError(f"topic {topic} was not created: {error.args[0].str()}") from error
            created[topic] = False
        except TimeoutError as error:
            raise BrokerError(f"no answer from {settings.kafka.bootstrap_servers} within {TIMEOUT_S:.0f} s") from error
    return created
