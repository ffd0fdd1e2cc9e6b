"""Sends events as long as something is being broken, and watches what becomes of each."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from worker.contracts.events import ImageUploaded
from worker.contracts.verdicts import QualityVerdict
from worker.settings import Settings
from worker.stream.clients import make_consumer, make_producer

__all__ = ["Answer", "Load", "Tally", "Witness", "tally"]

DEPTH = 120
"""Events on their way at once: enough that workers always have something to lose."""
METADATA_S = 20.0


@dataclass(frozen=True)
class Answer:
    """A verdict as a reader of committed records saw it: when (monotonic seconds), where, and what."""

    at: float
    event_id: str
    image_id: str
    place: tuple[int, int]
    code: str | None
    body: bytes = field(repr=False, default=b"")


@dataclass(frozen=True)
class Tally:
    """What became of some events."""

    events: int
    verdicts: int
    lost: int
    duplicates: int
    longest_pause_s: float


def tally(sent: Iterable[str], answers: Sequence[Answer], began: float) -> Tally:
    """Count: events that have no verdict are lost, second verdicts on an event are duplicates.

    The longest pause is the longest time without any verdict, from ``began`` to the last one.
    """
    wanted = set(sent)
    mine = [answer for answer in answers if answer.event_id in wanted]
    seen = Counter(answer.event_id for answer in mine)
    times = [began, *sorted(answer.at for answer in mine)]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    return Tally(len(wanted), len(mine), len(wanted - set(seen)), len(mine) - len(seen), max(pauses, default=0.0))


class Witness:
    """Reads committed verdicts and dead letters, without a group, so that nobody's rebalance stops it."""

    def __init__(self, settings: Settings) -> None:
        self._topics = (settings.topics.verdicts, settings.topics.dead_letters)
        self._consumer: Consumer = make_consumer(settings.kafka, f"{settings.kafka.group_id}.witness")
        # From the beginning: 0, since the earliest offset of a topic without records would have to be asked for.
        self._consumer.assign([TopicPartition(name, number, 0) for name in self._topics for number in self._partitions(name)])
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._dead: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def answers(self) -> list[Answer]:
        """All verdicts so far, in the order in which they were read."""
        with self._lock:
            return list(self._answers)

    def answered(self) -> set[str]:
        """Event ids with a verdict."""
        return {answer.event_id for answer in self.answers()}

    def dead_letters(self) -> list[bytes]:
        """Bodies of all dead letters so far."""
        with self._lock:
            return list(self._dead)

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _partitions(self, topic: str) -> list[int]:
        """Their numbers, once the broker that is asked has heard of the topic: others have it earlier."""
        end, pause = time.monotonic() + METADATA_S, threading.Event()
        while time.monotonic() < end:
            found = self._consumer.list_topics(topic, timeout=METADATA_S).topics[topic].partitions
            if found:
                return sorted(found)
            pause.wait(0.1)
        raise TimeoutError(f"topic {topic} is not there after {METADATA_S:.0f} s")

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(200, 0.05):
                if message.error() is None:
                    self._note(message)

    def _note(self, message: Message) -> None:
        body = message.value() or b""
        if message.topic() == self._topics[1]:
            with self._lock:
                self._dead.append(body)
            return
        verdict = QualityVerdict.model_validate_json(body)
        place = (message.partition() or 0, message.offset() or 0)
        code = verdict.reason.code if verdict.reason else None
        answer = Answer(time.monotonic(), verdict.event_id, verdict.image_id, place, code, body)
        with self._lock:
            self._answers.append(answer)


class Load:
    """Keeps some events on their way until it is told to finish, or has sent ``most``."""

    def __init__(self, settings: Settings, witness: Witness, make: Callable[[int], ImageUploaded], most: int) -> None:
        self._topic = settings.topics.uploads
        self._witness = witness
        self._make = make
        self.most = most
        self._producer: Producer = make_producer(settings.kafka)
        self._finish = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.began = time.monotonic()
        self.sent: dict[str, ImageUploaded] = {}
        """By event id, once the broker has it."""
        self._thread.start()

    def answered(self) -> int:
        """How many of its events have a verdict."""
        return len(self._witness.answered() & set(self.sent))

    def finish(self) -> None:
        """Send no more, and wait until the broker has what was sent."""
        self._finish.set()
        self._thread.join()
        self._producer.flush(60)

    def all_sent(self) -> bool:
        """Whether it has sent all that it may."""
        return not self._thread.is_alive()

    def wait(self, timeout_s: float, until: Callable[[], bool] | None = None) -> bool:
        """Wait until all that was sent is answered (or ``until``); false when time is up."""
        done = until or (lambda: set(self.sent) <= self._witness.answered())
        end, pause = time.monotonic() + timeout_s, threading.Event()
        while not done():
            if time.monotonic() > end:
                return False
            pause.wait(0.05)
        return True

    def _run(self) -> None:
        number, pause = 0, threading.Event()
        while number < self.most and not self._finish.is_set():
            if number - self.answered() >= DEPTH:
                pause.wait(0.02)
                self._producer.poll(0)
                continue
            event = self._make(number)
            with suppress(KafkaException, BufferError):
                self._producer.produce(
                    self._topic,
                    event.model_dump_json().encode(),
                    event.image_id.encode(),
                    on_delivery=partial(self._delivered, event),
                )
                number += 1
            self._producer.poll(0)

    def _delivered(self, event: ImageUploaded, error: object, _: Message) -> None:
        if error is None:
            self.sent[event.event_id] = event
