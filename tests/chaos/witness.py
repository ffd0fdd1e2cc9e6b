"""Reads what workers publish: verdicts and dead letters, as any reader of committed records sees them."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field

from confluent_kafka import Consumer, TopicPartition

from worker.contracts.verdicts import QualityVerdict
from worker.settings import Settings
from worker.stream.clients import make_consumer
from worker.stream.incoming import Record, read_record

__all__ = ["Answer", "DeadLetter", "Witness", "identity"]

METADATA_S = 20.0
TOMBSTONE = "tombstone"


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
class DeadLetter:
    """A dead letter: which body it stands for (see ``identity``), why, what is left of the body, and of how many bytes."""

    identity: str
    reason: str
    body: bytes = field(repr=False, default=b"")
    whole_bytes: int = 0


def identity(body: bytes | None) -> str:
    """What a body is known by: its SHA-256, since a dead letter may hold only a part of it and then tells that."""
    return TOMBSTONE if body is None else hashlib.sha256(body).hexdigest()


class Witness:
    """Reads committed verdicts and dead letters, without a group, so that nobody's rebalance stops it."""

    def __init__(self, settings: Settings) -> None:
        self._topics = (settings.topics.verdicts, settings.topics.dead_letters)
        self._consumer: Consumer = make_consumer(settings.kafka, f"{settings.kafka.group_id}.witness")
        # From the beginning: 0, since the earliest offset of a topic without records would have to be asked for.
        self._consumer.assign([TopicPartition(name, number, 0) for name in self._topics for number in self._partitions(name)])
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._answered: set[str] = set()
        self._dead: list[DeadLetter] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def answers(self) -> list[Answer]:
        """All verdicts so far, in the order in which they were read."""
        with self._lock:
            return list(self._answers)

    def answered(self) -> set[str]:
        """Event ids with a verdict."""
        with self._lock:
            return set(self._answered)

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters so far, in the order in which they were read."""
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
                    self._note(read_record(message))

    def _note(self, record: Record) -> None:
        if record.topic == self._topics[1]:
            letter = _as_dead_letter(record)
            with self._lock:
                self._dead.append(letter)
            return
        body = record.value or b""
        verdict = QualityVerdict.model_validate_json(body)
        code = verdict.reason.code if verdict.reason else None
        answer = Answer(time.monotonic(), verdict.event_id, verdict.image_id, (record.partition, record.offset), code, body)
        with self._lock:
            self._answers.append(answer)
            self._answered.add(answer.event_id)


def _as_dead_letter(record: Record) -> DeadLetter:
    told = record.own
    size = record.number("body_bytes", len(record.value or b""))
    return DeadLetter(told.get("body_sha256") or identity(record.value), told.get("reason", "none"), record.value or b"", size)
