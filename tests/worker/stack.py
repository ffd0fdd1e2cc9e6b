"""Everything a worker needs, embedded: a broker, a picture server, a Redis; and a worker in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message, TopicPartition

from tests.patience import PATIENCE_S
from tests.worker.helpers import make_settings
from worker.app import Worker
from worker.contracts.verdicts import QualityVerdict
from worker.embedded.broker import EmbeddedBroker
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis
from worker.settings import Settings
from worker.stream.clients import make_consumer, make_producer

PROPERTIES = {"session_timeout_ms": "6000", "fetch_wait_max_ms": "20", "heartbeat_interval_ms": "500"}


@dataclass
class Stack:
    """Addresses of the parts, and settings for a worker that uses them."""

    kafka: str
    pictures: PictureServer
    redis: str
    files: dict[str, bytes] = field(default_factory=dict)

    def settings(self, **groups: Any) -> Settings:
        base: dict[str, dict[str, Any]] = {
            "kafka": {"bootstrap_servers": self.kafka, "properties": PROPERTIES, "delivery": "at_least_once"},
            "redis": {"url": self.redis},
            "fetch": {"allow_networks": "127.0.0.0/8", "attempts": 1},
            "http": {"host": "127.0.0.1", "port": 0},
            "worker": {"publish_interval_ms": 50},
        }
        for name, group in groups.items():
            base[name] = {**base.get(name, {}), **group} if isinstance(group, dict) else group
        return make_settings(**base)


@contextmanager
def embedded_stack(files: Mapping[str, bytes], partitions: int = 2) -> Iterator[Stack]:
    """All parts, up; the files may grow later."""
    settings = Settings()
    names = settings.topics
    served = dict(files)
    topics = [names.uploads, names.verdicts, names.dead_letters, *settings.retry_topics]
    with EmbeddedBroker(topics, partitions) as broker, PictureServer(served) as pictures, LocalRedis() as redis:
        yield Stack(broker.bootstrap_servers, pictures, redis.url, served)


@contextmanager
def running(settings: Settings) -> Iterator[Worker]:
    """A worker in a thread of this process, stopped and drained at the end; what it died of is raised here."""
    worker = Worker(settings)
    died: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            died.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(PATIENCE_S)
    assert not thread.is_alive(), "the worker did not stop"
    if died:
        raise died[0]


def produce(settings: Settings, value: bytes, key: bytes | None = None, headers: dict[str, bytes] | None = None) -> None:
    """One record on the uploads topic, as it is."""
    producer = make_producer(settings.kafka)
    producer.produce(settings.topics.uploads, value, key, headers=list((headers or {}).items()))
    assert producer.flush(PATIENCE_S) == 0


def read(settings: Settings, topic: str, enough: int, group: str = "test-reader", timeout: float = PATIENCE_S) -> list[Message]:
    """Records of ``topic`` from its beginning, until ``enough`` have come or time is up."""
    consumer = make_consumer(settings.kafka, group)
    found: list[Message] = []
    try:
        consumer.subscribe([topic])
        for _ in range(int(timeout / 0.2)):
            found += [m for m in consumer.consume(100, 0.2) if m.error() is None]
            if len(found) >= enough:
                return found
    finally:
        consumer.close()
    return found


def read_all(settings: Settings, topic: str) -> list[Message]:
    """What lies on ``topic`` by now: up to the ends of its partitions, however long that takes."""
    consumer = make_consumer(settings.kafka, "test-reader-of-all")
    found: list[Message] = []
    try:
        numbers = consumer.list_topics(topic, PATIENCE_S).topics[topic].partitions
        ends = {number: consumer.get_watermark_offsets(TopicPartition(topic, number), PATIENCE_S)[1] for number in numbers}
        consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
        while len(found) < sum(ends.values()):
            found += [m for m in consumer.consume(100, 0.2) if m.error() is None]
    finally:
        consumer.close()
    return found


def verdicts(messages: list[Message]) -> dict[str, QualityVerdict]:
    """By image id; the last one counts."""
    parsed = (QualityVerdict.model_validate_json(message.value() or b"") for message in messages)
    return {verdict.image_id: verdict for verdict in parsed}
