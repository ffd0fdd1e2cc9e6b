"""Sends a known picture as any service would, and waits for its verdict where others read it: on the topic, and in Redis.

A probe goes to each partition of the uploads in turn. Its image is named after picture and partition, ``iqa-probe-photo-7``: so
the compacted topic and Redis keep two for each partition, and who reads all verdicts can tell them from others.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from pydantic import ValidationError

from worker.contracts.cloudevents import event_headers
from worker.contracts.verdicts import QualityVerdict
from worker.errors import BrokerError, CacheError
from worker.probe.known import KNOWN, Known, page_of
from worker.send import make_event
from worker.settings import Settings
from worker.store import VerdictReader, connect
from worker.stream.asking import end_of
from worker.stream.clients import make_admin, make_consumer, make_producer
from worker.stream.topics import find_topics

__all__ = ["Probe", "Prober"]

log = structlog.get_logger()

SOURCE = "/iqa/probe"
PREFIX = "iqa-probe-"
ASK_S = 10.0
LOOK_S = 0.2
REMEMBERED = 1_000
"""Probes that were lost and may still come."""


@dataclass
class Probe:
    """One probe: what was sent where and when (monotonic seconds), and what came of it.

    ``result`` is empty while it is on its way; ``seconds`` are those from its event to its verdict on the topic (``kafka``) and
    in Redis (``redis``).
    """

    event_id: str
    image_id: str
    known: Known
    partition: int
    expected: str
    sent: float
    result: str = ""
    told: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


class Prober:
    """Used by one thread.

    Args:
        settings: broker, topics, Redis, and where workers find the pictures.
        on_end: told of every probe that has come to its end.
        on_late: told of a verdict that comes after its probe was counted as lost.
        clock: monotonic seconds.

    Raises:
        BrokerError: the broker is away, or a topic is missing.
        SettingsError: a setting is wrong.

    """

    def __init__(
        self,
        settings: Settings,
        on_end: Callable[[Probe], None] = lambda _: None,
        on_late: Callable[[Probe], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._on_end = on_end
        self._on_late = on_late
        self._clock = clock
        probing = settings.probe
        # As long as a probe is waited for: one that arrives later would only be late.
        self._producer: Producer = make_producer(
            settings.kafka, **{"delivery.timeout.ms": max(1_000, int(1000 * probing.timeout_s))}
        )
        self._consumer: Consumer = make_consumer(settings.kafka, "iqa-probe")
        self._admin = make_admin(settings.kafka)
        client = connect(settings.redis)
        self._reader = VerdictReader(client) if client else None
        self._asked = 0.0
        self.pending: dict[str, Probe] = {}
        """Those on their way, by event."""
        self._lost: dict[str, Probe] = {}
        self._followed: set[int] = set()
        self._follow()
        self._round: list[tuple[int, Known, str]] = []
        """What is left of this time round all partitions: where to, what, and what is right."""
        self._rounds = 0

    def send(self) -> Probe:
        """Send the next probe, to the next partition; what becomes of it ``on_end`` is told.

        Raises:
            BrokerError: a new time round begins, and the broker does not tell which partitions there are.

        """
        partition, known, expected = self._next()
        where = self._settings.probe.picture_url or self._settings.probe.served_at.rstrip("/") + page_of(uuid.uuid4(), known)
        event = make_event(where, f"{PREFIX}{known.name}-{partition}")
        probe = Probe(event.event_id, event.image_id, known, partition, expected, self._clock())
        self.pending[probe.event_id] = probe

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                self._end(probe, "unsent", error.str())

        body, headers = event.model_dump_json().encode(), list(event_headers(event, SOURCE))
        try:
            self._producer.produce(
                self._settings.topics.uploads, body, probe.image_id.encode(), probe.partition, delivered, headers=headers
            )
        except (KafkaException, BufferError) as error:
            self._end(probe, "unsent", str(error))
        return probe

    def turn(self, timeout_s: float = 0.1) -> None:
        """Take what has come within ``timeout_s``, ask Redis, give up what is overdue."""
        self._producer.poll(0)
        for message in self._consumer.consume(500, timeout_s):
            self._take(message)
        if self._clock() - self._asked >= LOOK_S:
            self._asked = self._clock()
            self._ask_redis()
        overdue = self._clock() - self._settings.probe.timeout_s
        for probe in [each for each in self.pending.values() if each.sent <= overdue]:
            seen = "kafka" in probe.seconds
            told = "on the topic, and not in Redis" if seen else "no verdict"
            self._end(probe, "unprojected" if seen else "lost", f"{told} within {self._settings.probe.timeout_s:g} s")

    def close(self) -> None:
        """Probe no more."""
        self._consumer.close()
        self._producer.purge()

    def _next(self) -> tuple[int, Known, str]:
        """Every partition of the uploads in turn, with each picture; which there are is asked anew each time round."""
        if not self._round:
            self._follow()
            probing = self._settings.probe
            pictures = list(zip(KNOWN, probing.expected, strict=True))[: 1 if probing.picture_url else None]
            numbers = self._numbers(self._settings.topics.uploads)
            self._round = [(number, *pictures[(number + self._rounds) % len(pictures)]) for number in numbers]
            self._rounds += 1
        return self._round.pop(0)

    def _numbers(self, topic: str) -> range:
        return range(find_topics(self._admin, [topic], ASK_S)[topic].partitions)

    def _follow(self) -> None:
        """Read verdicts from where each partition ends now; one that is new since, from its beginning."""
        topic = self._settings.topics.verdicts
        new = set(self._numbers(topic)) - self._followed
        if not new:
            return
        try:
            begin = [0 if self._followed else end_of(self._consumer, (topic, number), ASK_S) for number in new]
            self._consumer.incremental_assign([TopicPartition(topic, *place) for place in zip(new, begin, strict=True)])
        except KafkaException as error:
            raise BrokerError(f"verdicts cannot be followed: {error}") from error
        self._followed |= new

    def _take(self, message: Message) -> None:
        key = message.key()
        if message.error() is not None or not isinstance(key, bytes) or not key.startswith(PREFIX.encode()):
            return
        try:
            verdict = QualityVerdict.model_validate_json(message.value() or b"")
        except ValidationError:
            return
        if (late := self._lost.pop(verdict.event_id, None)) is not None:
            log.warning("probe_late", event_id=late.event_id, seconds=round(self._clock() - late.sent, 1))
            self._on_late(late)
        probe = self.pending.get(verdict.event_id)
        if probe is None or "kafka" in probe.seconds:
            return
        probe.seconds["kafka"] = self._clock() - probe.sent
        if verdict.status == "unscorable" and verdict.reason is not None:
            self._end(probe, "unscorable", f"{verdict.reason.code}: {verdict.reason.detail}")
        elif verdict.category != probe.expected:
            self._end(probe, "wrong", f"{verdict.category} where {probe.expected} is right: {'; '.join(verdict.explanation)}")
        elif self._reader is None:
            self._end(probe, "right", f"{verdict.category} at {verdict.score}")
        else:
            probe.told = f"{verdict.category} at {verdict.score}"

    def _ask_redis(self) -> None:
        waiting = {probe.image_id: probe for probe in self.pending.values() if "kafka" in probe.seconds}
        if self._reader is None or not waiting:
            return
        try:
            found = self._reader.get_many(list(waiting))
        except CacheError:
            # Its probes are told as unprojected when their time is over.
            return
        for image_id, verdict in found.items():
            probe = waiting[image_id]
            if verdict is not None and verdict.event_id == probe.event_id:
                probe.seconds["redis"] = self._clock() - probe.sent
                self._end(probe, "right", probe.told)

    def _end(self, probe: Probe, result: str, told: str) -> None:
        if self.pending.pop(probe.event_id, None) is None:
            return
        probe.result, probe.told = result, told
        if result == "lost":
            self._lost[probe.event_id] = probe
            while len(self._lost) > REMEMBERED:
                del self._lost[next(iter(self._lost))]
        seconds = {where: round(value, 3) for where, value in probe.seconds.items()}
        say = log.info if result == "right" else log.warning
        say("probe", result=result, picture=probe.known.name, partition=probe.partition, told=told, seconds=seconds)
        self._on_end(probe)
