"""An embedded Kafka broker: librdkafka's own mock cluster, which other processes can reach over TCP.

confluent-kafka's wheel exports the C API of ``rdkafka_mock.h``; ctypes is all that is needed. Good for demonstrations and fast
tests with at-least-once delivery. It drops unread records after 5 MiB per partition, does not isolate transactions and does
not administer topics: every guarantee is tested against a real broker instead.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

from worker.errors import BrokerError

__all__ = ["EmbeddedBroker"]

_PRODUCER = 0
_ERROR_BYTES = 512


def _library() -> ctypes.CDLL:
    """The librdkafka that confluent-kafka itself is linked to."""
    package = Path(confluent_kafka.__file__).parent
    folders = [package.parent / "confluent_kafka.libs", package / ".dylibs"]
    for folder in folders:
        for path in sorted(folder.glob("librdkafka*")):
            return ctypes.CDLL(str(path))
    raise BrokerError("this build of confluent-kafka brings no librdkafka with a mock cluster; use a real broker")


class EmbeddedBroker:
    """One broker in this process, up until ``close``.

    Args:
        topics: created at once.
        partitions: of every topic.

    Raises:
        BrokerError: the library has no mock cluster, or it does not start.

    """

    def __init__(self, topics: Sequence[str], partitions: int = 6) -> None:
        lib = self._lib = _library()
        lib.rd_kafka_new.restype = lib.rd_kafka_conf_new.restype = lib.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
        lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        reason = ctypes.create_string_buffer(_ERROR_BYTES)
        self._handle = ctypes.c_void_p(
            lib.rd_kafka_new(_PRODUCER, self._quiet_configuration(), reason, ctypes.c_size_t(_ERROR_BYTES))
        )
        if not self._handle.value:
            raise BrokerError(f"the embedded broker does not start: {reason.value.decode()}")
        self._cluster = ctypes.c_void_p(lib.rd_kafka_mock_cluster_new(self._handle, 1))
        if not self._cluster.value:
            raise BrokerError("the embedded broker does not start")
        # Without a controller admin calls hang; with the usual delay the first group would wait three seconds.
        lib.rd_kafka_mock_set_controller_id(self._cluster, ctypes.c_int32(1))
        lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, ctypes.c_int32(200))
        for topic in topics:
            lib.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)

    def _quiet_configuration(self) -> ctypes.c_void_p:
        configuration = ctypes.c_void_p(self._lib.rd_kafka_conf_new())
        # The handle that carries the cluster connects to nothing itself, and need not warn about it.
        self._lib.rd_kafka_conf_set(configuration, b"log_level", b"3", None, ctypes.c_size_t(0))
        return configuration

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to."""
        found: bytes = self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return found.decode()

    def close(self) -> None:
        """Take the broker down; everything in it is gone."""
        if self._cluster.value:
            self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
            self._lib.rd_kafka_destroy(self._handle)
            self._cluster = ctypes.c_void_p()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
