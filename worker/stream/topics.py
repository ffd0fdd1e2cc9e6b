"""Creates the topics that workers use."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.cimpl import NewTopic

from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream.clients import MAX_RECORD_BYTES, make_admin
from worker.stream.replay import parked_topic

__all__ = ["create_topics", "require_topics"]

TIMEOUT_S = 20.0


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
    created = {}
    # Held by name: the futures of a client that is let go of fail with it.
    admin = make_admin(settings.kafka)
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


def require_topics(settings: Settings, timeout_s: float = 10.0) -> None:
    """Check that the broker answers and has the topics; brokers that create topics on first use create them now.

    Raises:
        BrokerError: it does not, or a topic is missing.

    """
    topics = settings.topics
    names = (topics.uploads, topics.verdicts, topics.dead_letters, *settings.retry_topics)
    admin = make_admin(settings.kafka)
    for name in names:
        try:
            found = admin.list_topics(name, timeout=timeout_s).topics[name]
        except KafkaException as error:
            message = f"no answer from {settings.kafka.bootstrap_servers}: {error.args[0].str()}"
            raise BrokerError(f"{message}; check IQA_KAFKA__BOOTSTRAP_SERVERS") from error
        if found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise BrokerError(f"topic {name} does not exist; run `iqa topics create`")
