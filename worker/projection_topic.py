"""What a projection asks a broker about its topic, where it ends and whether it is still the same; and its records in parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from worker.redis_writer import Partition
from worker.stream.topic_facts import NO_ID

__all__ = ["BATCH_BYTES", "TopicWatch", "ask_topic_id", "parts"]

log = structlog.get_logger()

ANSWER_S = 1.0

BATCH_BYTES = 4_000_000
"""A batch of Redis must be over within its time-out."""

TOPIC_S = 10.0
"""Seconds between questions for the topic's id."""


class TopicWatch:
    """Asks, now and then, from the thread that consumes.

    Args:
        consumer: to ask with.
        topic: to ask about.
        ask_id: for the topic's id; empty where the broker has none or does not answer.

    """

    def __init__(self, consumer: Consumer, topic: str, ask_id: Callable[[], str]) -> None:
        self._consumer = consumer
        self._topic = topic
        self._ask_id = ask_id
        self._ends: dict[Partition, tuple[int, int]] = {}
        self._asked: float | None = None
        self._turn = 0
        self.topic_id = ""
        """As last told; empty as long as it was not."""

    def ask_end(self, assigned: Collection[Partition]) -> KafkaError | None:
        """Ask for the end of one of these partitions, another one each time; gives what went wrong."""
        keys = sorted(assigned) or [(self._topic, 0)]
        self._turn += 1
        key = keys[self._turn % len(keys)]
        try:
            found = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=ANSWER_S, cached=False)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            return reason
        if found is None:
            return KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001 - the library's own name
        self._ends[key] = found
        return None

    def remade(self) -> bool:
        """Whether the topic is another one than when last asked, by its id; asks at most every ``TOPIC_S``."""
        if self._asked is not None and time.monotonic() - self._asked < TOPIC_S:
            return False
        self._asked = time.monotonic()
        before, found = self.topic_id, self._ask_id()
        self.topic_id = found or before
        return bool(before and found and found != before)

    def lag(self, assigned: Collection[Partition], read: Mapping[Partition, int]) -> int:
        """Records between what was read and the ends that are known; without a place in ``read``, from the beginning on."""
        known = [(key, *self._ends[key]) for key in assigned if key in self._ends]
        return sum(max(0, end - max(beginning, read.get(key, 0))) for key, beginning, end in known)


def ask_topic_id(admin: AdminClient, topic: str) -> str:
    """The topic's id; empty where the broker has none, denies it or does not answer soon."""
    try:
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=2.0)[topic].result(3.0)
    except (KafkaException, TimeoutError) as error:
        log.info("topic_id_unknown", topic=topic, error=str(error))
        return ""
    found = str(described.topic_id)
    return "" if found == NO_ID else found


def parts(messages: list[Message]) -> Iterator[list[Message]]:
    """The messages in order, in parts of at most ``BATCH_BYTES``, or of one."""
    part, size = list[Message](), 0
    for message in messages:
        if part and size + len(message) > BATCH_BYTES:
            yield part
            part, size = [], 0
        part.append(message)
        size += len(message)
    if part:
        yield part
