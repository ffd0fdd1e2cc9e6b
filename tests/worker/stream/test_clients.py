"""What clients are made with, and what they say of a broker that is away."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Callable

import pytest
from confluent_kafka import Message

from worker.embedded.broker import EmbeddedBroker
from worker.errors import BrokerError, SettingsError
from worker.settings import KafkaSettings
from worker.stream.clients import make_admin, make_consumer, make_producer, make_transactional_producer, require_broker

Maker = Callable[[KafkaSettings], object]

JAVA_MURMUR2 = {
    "21": -973_932_308,
    "foobar": -790_332_482,
    "a-little-bit-long-string": -985_981_536,
    "a-little-bit-longer-string": -1_486_304_829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58_897_971,
    "abc": 479_470_107,
}
"""Keys and their hashes, from Kafka's own test of it (``UtilsTest.testMurmur2``)."""


def javas_partition(key: str, partitions: int) -> int:
    """As Java's producers choose it: the hash without its sign bit, modulo the number of partitions."""
    return (JAVA_MURMUR2[key] & 0x7FFFFFFF) % partitions


def partitions_of(kafka: KafkaSettings, topic: str) -> dict[str, int]:
    """Where the keys of ``JAVA_MURMUR2`` go."""
    producer, found = make_producer(kafka), dict[str, int]()

    def delivered(_: object, message: Message) -> None:
        found[str((message.key() or b"").decode())] = message.partition() or 0

    for key in JAVA_MURMUR2:
        producer.produce(topic, b"x", key.encode(), on_delivery=delivered)
    assert producer.flush(60) == 0
    return found


def test_keys_go_where_javas_producers_send_them() -> None:
    """They went by CRC32: topics of others did not line up."""
    with EmbeddedBroker(["seven"], partitions=7) as broker:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        assert partitions_of(kafka, "seven") == {key: javas_partition(key, 7) for key in JAVA_MURMUR2}


def test_a_fleet_may_keep_the_partitions_that_it_has() -> None:
    """By a property: CRC32, as it was."""
    with EmbeddedBroker(["seven"], partitions=7) as broker:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, properties={"partitioner": "consistent_random"})
        assert partitions_of(kafka, "seven") == {key: zlib.crc32(key.encode()) % 7 for key in JAVA_MURMUR2}


@pytest.mark.parametrize(
    ("make", "misspelt"),
    [
        (make_admin, "sesion_timeout_ms"),
        (make_producer, "linger_mss"),
        (lambda kafka: make_transactional_producer(kafka, "t"), "batch_sise"),
        (lambda kafka: make_consumer(kafka, "g"), "session_timeout_mss"),
    ],
)
def test_a_misspelt_property_is_refused(make: Maker, misspelt: str) -> None:
    """By every client that is given it."""
    with pytest.raises(SettingsError, match=f"IQA_KAFKA__PROPERTIES: .*{misspelt.replace('_', '.')}"):
        make(KafkaSettings(properties={misspelt: "1"}))


def test_a_broker_that_answers_is_enough() -> None:
    """Whatever topics it has."""
    with EmbeddedBroker([]) as broker:
        require_broker(KafkaSettings(bootstrap_servers=broker.bootstrap_servers))


def test_a_broker_that_is_away() -> None:
    """The client's reason, without its own noise."""
    with pytest.raises(BrokerError) as caught:
        require_broker(KafkaSettings(bootstrap_servers="127.0.0.1:1"), 2.0)
    reason = "Connect to ipv4#127.0.0.1:1 failed: Connection refused"
    assert str(caught.value) == f"no answer from 127.0.0.1:1: {reason}; check IQA_KAFKA__BOOTSTRAP_SERVERS"


def test_a_broker_that_says_nothing() -> None:
    """A frozen one: its machine takes connections, and that is all."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        servers = f"127.0.0.1:{frozen.getsockname()[1]}"
        with pytest.raises(BrokerError, match=f"no answer from {servers} within 1 s; check IQA_KAFKA__BOOTSTRAP_SERVERS"):
            require_broker(KafkaSettings(bootstrap_servers=servers), 1.0)
