"""Sends events as long as something is being broken, into every partition as fast as its events are answered."""

from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, partial

from confluent_kafka import KafkaException, Message, Producer

from tests.chaos.tally import Sent
from tests.chaos.witness import Witness
from worker.contracts.events import ImageUploaded
from worker.embedded.broker import _library
from worker.settings import Settings
from worker.stream.clients import make_producer

__all__ = ["Load", "partition_of"]

DEPTH = 20
"""Events of one partition on their way at once: enough that workers always have something to lose."""

SLOW_DEPTH = 300
"""In a partition that is held up on purpose: more than a worker may have in flight."""


@cache
def _murmur2() -> Callable[..., int]:
    found = _library().rd_kafka_msg_partitioner_murmur2
    found.restype = ctypes.c_int32
    return found


def partition_of(key: bytes, count: int) -> int:
    """The partition that Java's producers, and so workers, choose for ``key``."""
    return int(_murmur2()(None, key, ctypes.c_size_t(len(key)), ctypes.c_int32(count), None, None))


class Load:
    """Keeps some events on their way until it is told to finish, or has sent ``most``.

    Args:
        settings: where to.
        witness: knows what is answered.
        make: an event by its number and a name that is part of its ids.
        most: events.
        partitions: of the uploads topic.
        slow: a partition that gets more than it can answer.

    """

    def __init__(
        self,
        settings: Settings,
        witness: Witness,
        make: Callable[[int, int], ImageUploaded],
        most: int,
        partitions: int,
        slow: int | None = None,
    ) -> None:
        self._settings = settings
        self._witness = witness
        self._make = make
        self.most = most
        self._room = {number: SLOW_DEPTH if number == slow else DEPTH for number in range(partitions)}
        self._open: dict[int, set[str]] = {number: set() for number in self._room}
        self._turns = deque(self._room)
        self._producer: Producer = make_producer(settings.kafka)
        self._finish = threading.Event()
        self._held = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.began = time.monotonic()
        self.sent: dict[str, ImageUploaded] = {}
        """By event id, once the broker has it."""
        self.places: dict[str, Sent] = {}
        self.excused: set[str] = set()
        """Events that need no answer: their operator deleted them before a worker had taken them."""
        self._thread.start()

    def answered(self) -> int:
        """How many of its events have a verdict."""
        return len(self._witness.answered() & set(self.sent))

    def add(self, event: ImageUploaded, partition: int) -> None:
        """Send one more event, at once, into ``partition``; it counts as the others do."""
        self._produce(self._producer, event, partition)

    def adopt(self, event: ImageUploaded, message: Message) -> None:
        """An event that somebody else has sent counts as well: ``message`` is its delivery."""
        self.places[event.event_id] = Sent(time.monotonic(), message.partition() or 0, message.offset() or 0)
        self.sent[event.event_id] = event

    def hold(self) -> None:
        """Send nothing until ``resume``; the broker has all that was sent."""
        self._held.set()
        with self._lock:
            self._producer.flush(60)

    def resume(self) -> None:
        """Go on, as a sender that was started anew."""
        self._producer = make_producer(self._settings.kafka)
        self._held.clear()

    def excuse(self, names: Iterable[str]) -> None:
        """These events need no answer any more, and nobody waits for them."""
        self.excused |= set(names)
        for waiting in self._open.values():
            waiting.difference_update(self.excused)

    def finish(self) -> None:
        """Send no more, and wait until the broker has what was sent."""
        self._finish.set()
        self._thread.join()
        self._producer.flush(60)

    def all_sent(self) -> bool:
        """Whether it has sent all that it may."""
        return not self._thread.is_alive()

    def missing(self) -> set[str]:
        """Events that have no answer yet, and need one."""
        return set(self.sent) - self.excused - self._witness.answered()

    def wait(self, timeout_s: float, until: Callable[[], bool] | None = None) -> bool:
        """Wait until all that was sent is answered (or ``until``); false when time is up."""
        done = until or (lambda: not self.missing())
        end, pause = time.monotonic() + timeout_s, threading.Event()
        while not done():
            if time.monotonic() > end:
                return False
            pause.wait(0.05)
        return True

    def _run(self) -> None:
        number, pause = 0, threading.Event()
        while number < self.most and not self._finish.is_set():
            with self._lock:
                partition = None if self._held.is_set() else self._next_partition()
                if partition is not None:
                    number += self._produce(self._producer, self._make(number, partition), partition)
            if partition is None:
                pause.wait(0.02)
            self._producer.poll(0)

    def _next_partition(self) -> int | None:
        """The next one that has room, by turns."""
        for number in self._turns:
            if len(self._open[number]) < self._room[number]:
                self._turns.remove(number)
                self._turns.append(number)
                return number
        answered = self._witness.answered()
        for waiting in self._open.values():
            waiting.difference_update(answered)
        return None

    def _produce(self, producer: Producer, event: ImageUploaded, partition: int) -> bool:
        topic, body, key = self._settings.topics.uploads, event.model_dump_json().encode(), event.image_id.encode()
        with suppress(KafkaException, BufferError):
            producer.produce(topic, body, key, partition, on_delivery=partial(self._delivered, event, partition))
            self._open[partition].add(event.event_id)
            return True
        return False

    def _delivered(self, event: ImageUploaded, partition: int, error: object, message: Message) -> None:
        if error is None:
            self.adopt(event, message)
        else:
            self._open[partition].discard(event.event_id)
