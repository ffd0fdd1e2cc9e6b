"""Verdicts put on the topic as workers do, and what Redis must hold in the end."""

from __future__ import annotations

import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from json import loads

from confluent_kafka import Consumer, TopicPartition

from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.patience import PATIENCE_S
from tests.worker.helpers import verdict
from worker.contracts.verdicts import QualityVerdict
from worker.errors import CacheError
from worker.projection import projection_group
from worker.settings import RedisSettings
from worker.store import VerdictReader, connect
from worker.stream.clients import make_consumer, make_producer, make_transactional_producer

__all__ = ["VerdictFeed", "probe"]


class VerdictFeed:
    """Publishes, and compares."""

    def __init__(self, fleet: Fleet, redis_url: str) -> None:
        fleet.create_topics()
        self._fleet = fleet
        self._topic = fleet.settings.topics.verdicts
        self.redis_url = redis_url
        self.latest: dict[str, QualityVerdict | None] = {}

    def project(self, **environment: str) -> WorkerProcess:
        """``iqa projection run``."""
        return self._fleet.start("projection", **{"IQA_REDIS__URL": self.redis_url, **environment})

    def send(self, names: Sequence[str], *, transaction: bool = False) -> None:
        """A new verdict on each image; with a transaction, the topic ends in a marker."""
        kafka = self._fleet.settings.kafka
        producer = make_transactional_producer(kafka, uuid.uuid4().hex) if transaction else make_producer(kafka)
        if transaction:
            producer.init_transactions(30)
            producer.begin_transaction()
        for name in names:
            found = verdict(name, event_id=uuid.uuid4().hex)
            self.latest[name] = found
            producer.produce(self._topic, found.model_dump_json(), name)
        if transaction:
            producer.commit_transaction(30)
        assert producer.flush(30) == 0

    def send_raw(self, name: str, body: bytes | None) -> None:
        """A record of any content; ``None`` is a tombstone."""
        producer = make_producer(self._fleet.settings.kafka)
        producer.produce(self._topic, body, name)
        assert producer.flush(30) == 0
        if body is None:
            self.latest[name] = None

    def complete(self, url: str | None = None) -> bool:
        """Whether Redis holds exactly the latest verdict on every image; not while it is away or fails over."""
        client = connect(RedisSettings(url=url or self.redis_url))
        assert client is not None
        try:
            return VerdictReader(client).get_many(list(self.latest)) == self.latest
        except CacheError:
            return False

    def lag(self) -> int:
        """Of the projection's group, as those see it who watch committed offsets."""
        consumer: Consumer = make_consumer(self._fleet.settings.kafka, projection_group(self._fleet.settings.kafka.group_id))
        try:
            total = 0
            for place in consumer.committed(
                [TopicPartition(self._topic, number) for number in range(PARTITIONS)], timeout=PATIENCE_S
            ):
                low, high = consumer.get_watermark_offsets(place, timeout=PATIENCE_S)
                total += high - max(low, place.offset)
            return total
        finally:
            consumer.close()


def probe(worker: WorkerProcess, path: str = "/readyz") -> dict[str, bool] | None:
    """What a probe answers; ``None`` while nobody does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}{path}", timeout=30) as answer:
            found: dict[str, bool] = loads(answer.read())
    except urllib.error.HTTPError as error:
        found = loads(error.read())
    except OSError:
        return None
    return found
