"""How large a record may be, known before it is sent.

Two bounds hold: the producer's ``message.max.bytes``, measured before compression, and the topic's ``max.message.bytes``,
measured on the compressed batch. A record that is within both by itself may be refused in a batch with others that compress
badly, so ``batch_bytes`` bounds the batch as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from worker.errors import BrokerError
from worker.stream.clients import MAX_RECORD_BYTES

__all__ = ["RecordSizes"]

log = structlog.get_logger()

BROKER_DEFAULT = 1_048_588
"""Kafka's own ``message.max.bytes``, for a topic that may not be described."""

MARGIN = 1_000
"""For a batch's own head, and for compression that makes things longer."""

BATCH_BYTES = 1_000_000
"""librdkafka's own default."""


class RecordSizes:
    """The largest record of each topic, in bytes as ``Outgoing.size`` counts them. Thread-safe.

    Args:
        describe: each topic's ``max.message.bytes``, ``None`` where it is not told.
        producer_bytes: the producer's ``message.max.bytes``.

    """

    def __init__(
        self, describe: Callable[[], Mapping[str, int | None]] | None = None, producer_bytes: int = MAX_RECORD_BYTES
    ) -> None:
        self._describe = describe
        self._producer_bytes = producer_bytes
        self._topics: Mapping[str, int | None] = {}

    def refresh(self) -> None:
        """Ask the broker: at the start, and when it has refused a record. No answer leaves what was known."""
        if self._describe is None:
            return
        try:
            self._topics = self._describe()
        except BrokerError as error:
            log.warning("record_sizes_unknown", error=str(error))

    def of(self, topic: str) -> int:
        """The largest record that ``topic`` takes."""
        known = self._topics.get(topic, self._producer_bytes)
        return max(MARGIN, min(self._producer_bytes, BROKER_DEFAULT if known is None else known) - MARGIN)

    @property
    def batch_bytes(self) -> int:
        """For the producer's ``batch.size``: no batch that any of the topics would refuse."""
        return min(BATCH_BYTES, *(self.of(topic) for topic in self._topics), self._producer_bytes)
