"""Questions to the broker whose answers nobody waits for.

They are asked by a thread and a consumer of their own, which joins no group. An admin client would answer without one, but its
ListOffsets ends the process where a broker stops answering: librdkafka 2.16 then fails an assertion
(``rd_kafka_enq_once_del_source_return``), seen with a frozen broker.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

from worker.stream.ledger import Partition

__all__ = ["Answer", "Asking", "BrokerAsking", "answered", "end_of"]

Places = dict[Partition, int]
Answer = Future[Places]
CALL_S = 2.0


class Asking(Protocol):
    """Where partitions end, and where the group is."""

    def ends(self, partitions: Sequence[Partition]) -> Answer:
        """For each the offset behind its last record."""

    def group(self, partitions: Sequence[Partition]) -> Answer:
        """For each what the group has committed; -1 where that is nothing."""

    def close(self) -> None:
        """Ask no more."""


class BrokerAsking:
    """One question after the other; the thread starts with the first. ``make`` gives a consumer of the group."""

    def __init__(self, make: Callable[[], Consumer]) -> None:
        self._make = make
        self._work: queue.SimpleQueue[tuple[Callable[[Consumer], Places], Answer] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def ends(self, partitions: Sequence[Partition]) -> Answer:
        """See ``Asking``."""
        # The first that is not answered ends it: a broker that is away is not asked for every partition.
        return self._ask(lambda consumer: {key: end_of(consumer, key) for key in partitions})

    def group(self, partitions: Sequence[Partition]) -> Answer:
        """See ``Asking``."""
        places = [TopicPartition(*key) for key in partitions]

        def ask(consumer: Consumer) -> Places:
            found = consumer.committed(places, timeout=CALL_S)
            return {(place.topic, place.partition): max(-1, place.offset) for place in found if place.error is None}

        return self._ask(ask)

    def close(self) -> None:
        """See ``Asking``. What was asked is not waited for."""
        self._work.put(None)

    def _ask(self, question: Callable[[Consumer], Places]) -> Answer:
        answer: Answer = Future()
        self._work.put((question, answer))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="asking", daemon=True)
            self._thread.start()
        return answer

    def _run(self) -> None:
        consumer: Consumer | None = None
        while (work := self._work.get()) is not None:
            question, answer = work
            try:
                consumer = consumer or self._make()
                answer.set_result(question(consumer))
            except Exception as error:  # it is asked again; whoever must know of a broker that is away asks by other ways
                answer.set_exception(error)
        if consumer is not None:
            consumer.close()


def end_of(consumer: Consumer, key: Partition, timeout_s: float = CALL_S) -> int:
    """The offset behind a partition's last record.

    Raises:
        KafkaException: the broker does not tell it within ``timeout_s``.

    """
    marks = consumer.get_watermark_offsets(TopicPartition(*key), timeout=timeout_s)
    if marks is None:
        raise KafkaException(f"the end of {key[0]}/{key[1]} is not known")
    return marks[1]


def answered(answer: Answer | None) -> Places | None:
    """What was answered; ``None`` if it is not there yet, or the broker has refused."""
    return answer.result() if answer is not None and answer.done() and answer.exception() is None else None
