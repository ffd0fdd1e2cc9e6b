"""What a broker's refusal of records means: the record is to blame, or its topic, or nothing but the moment.

The first two are not mended by sending the same again: were they treated as passing, one record would stop everybody for ever.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaError

from worker.errors import BrokerError
from worker.stream.ledger import Entry, Outgoing

__all__ = ["TOPIC_CODES", "ClosedTopicError", "RefusedError", "refusal"]

RECORD_CODES = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError._BAD_MSG,  # noqa: SLF001 - the library's own names
        KafkaError._INVALID_ARG,  # noqa: SLF001
    }
)
"""No repetition mends these: something about a record is wrong."""

TOPIC_CODES = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    }
)
"""Nothing for this topic is taken, until somebody makes it or gives the right."""


class RefusedError(BrokerError):
    """The broker refuses a record for good. ``entry`` is its entry, where that is known."""

    def __init__(self, message: str, code: str, entry: Entry | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.entry = entry


class ClosedTopicError(BrokerError):
    """A topic takes nothing: it is gone, or there is no right to write to it."""

    def __init__(self, message: str, topic: str) -> None:
        super().__init__(message)
        self.topic = topic


def refusal(failures: Iterable[tuple[Entry, Outgoing, KafkaError]]) -> RefusedError | ClosedTopicError | None:
    """What to do about records that failed: ``None`` if they may simply be sent again.

    A closed topic goes first: what is wrong with single records is seen when its turn has passed.
    """
    refused: RefusedError | None = None
    for entry, record, error in failures:
        if error.code() in TOPIC_CODES:
            return ClosedTopicError(f"topic {record.topic} takes nothing: {error.str()}", record.topic)
        if error.code() in RECORD_CODES and refused is None:
            refused = RefusedError(f"a record for {record.topic} is refused: {error.str()}", error.name(), entry)
    return refused
