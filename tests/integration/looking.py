"""What a worker process says of itself, and what the broker holds."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from confluent_kafka import KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.integration.fleet import Fleet, WorkerProcess
from tests.patience import PATIENCE_S
from worker.contracts.verdicts import QualityVerdict
from worker.stream.clients import make_admin, make_consumer
from worker.stream.dead_letters import DeadLetter, Filter, read_dead_letters

__all__ = [
    "answer",
    "bound_records",
    "configure",
    "counted",
    "lags",
    "letters",
    "lines",
    "places",
    "published",
    "samples",
    "whole_topic",
]


def lines(worker: WorkerProcess, *events: str) -> list[dict[str, Any]]:
    """What it has logged so far; only the ``events`` of that name, if any is given."""
    found = []
    for line in worker.log.read_text().splitlines(keepends=True):
        if line.startswith("{") and line.endswith("}\n"):
            told = json.loads(line)
            if not events or told.get("event") in events:
                found.append(told)
    return found


def answer(worker: WorkerProcess, path: str = "/readyz") -> tuple[int, dict[str, bool]]:
    """Status and conditions of a probe; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}{path}", timeout=30) as told:
            return told.status, json.loads(told.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except OSError:
        return 0, {}


def counted(worker: WorkerProcess, name: str, **labels: str) -> float:
    """The sum of the samples of a metric that have these labels."""
    return sum(sample.value for sample in samples(worker, name) if labels.items() <= sample.labels.items())


def samples(worker: WorkerProcess, name: str) -> list[Sample]:
    """What it shows of a metric."""
    with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/metrics", timeout=30) as told:
        families = text_string_to_metric_families(told.read().decode())
    return [sample for family in families for sample in family.samples if sample.name == name]


def letters(fleet: Fleet) -> list[DeadLetter]:
    """All dead letters by now."""
    return list(read_dead_letters(fleet.settings, Filter()))


def published(fleet: Fleet) -> Counter[str]:
    """Verdicts on the topic for each image. The reader is in no group: one that loses its place would count some twice."""
    messages = whole_topic(fleet, fleet.settings.topics.verdicts)
    return Counter(QualityVerdict.model_validate_json(message.value() or b"").image_id for message in messages)


def whole_topic(fleet: Fleet, topic: str) -> Iterator[Message]:
    """All records that lie there now; of transactions those that are committed."""
    reader = make_consumer(fleet.settings.kafka, "nobody", **{"enable.partition.eof": True})
    try:
        left = set(reader.list_topics(topic, PATIENCE_S).topics[topic].partitions)
        reader.assign([TopicPartition(topic, number, 0) for number in left])
        end = time.monotonic() + PATIENCE_S
        while left:
            assert time.monotonic() < end, f"the ends of {left} of {topic} were not reached"  # not a bound: patience is over
            for message in reader.consume(500, 0.2):
                if (error := message.error()) is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition() or 0)
    finally:
        reader.close()


def places(fleet: Fleet, group: str, topic: str) -> dict[int, tuple[int, int, int]]:
    """Of each partition: the committed offset (negative: none), and the topic's beginning and end."""
    consumer = make_consumer(fleet.settings.kafka, group)
    try:
        numbers = consumer.list_topics(topic, PATIENCE_S).topics[topic].partitions
        found = consumer.committed([TopicPartition(topic, number) for number in numbers], timeout=PATIENCE_S)
        return {place.partition: (place.offset, *consumer.get_watermark_offsets(place, timeout=PATIENCE_S)) for place in found}
    finally:
        consumer.close()


def lags(fleet: Fleet, group: str, topics: Iterable[str]) -> int:
    """As those see it who watch committed offsets; what holds nothing has no lag."""
    rows = [row for topic in topics for row in places(fleet, group, topic).values()]
    return sum(end - max(committed, low) for committed, low, end in rows)


def bound_records(fleet: Fleet, size: int, *topics: str) -> None:
    """Set the largest record batch of ``topics``, in bytes."""
    configure(fleet, "max.message.bytes", str(size), *topics)


def configure(fleet: Fleet, name: str, value: str, *topics: str) -> None:
    """Set one property of ``topics``."""
    admin: AdminClient = make_admin(fleet.settings.kafka)
    entry = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)]
    wanted = [ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entry) for topic in topics]
    for future in admin.incremental_alter_configs(wanted).values():
        future.result(PATIENCE_S)
