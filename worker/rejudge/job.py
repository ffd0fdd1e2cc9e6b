"""One process that judges again: wiring, threads, progress, end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import structlog
from confluent_kafka import Consumer

from calibration.profile import Profile
from worker.contracts.verdicts import QualityVerdict
from worker.errors import BrokerError, CacheError, StoppedError
from worker.intake.decode import decode
from worker.intake.sources import Fetcher
from worker.loading import cpu_slots, make_assessors, make_decoders
from worker.pipeline import Pipeline
from worker.rejudge.checking import CheckingPublisher
from worker.rejudge.handler import RejudgeHandler
from worker.rejudge.loop import RangeLoop
from worker.rejudge.parts import PartsPublisher, claim_folder
from worker.rejudge.ranges import Range, committed, find_ranges, left, place_group
from worker.rejudge.tally import Doubts, Tally
from worker.rejudge.wanted import Rate, Wanted, group_of
from worker.services import Assessors
from worker.settings import Settings
from worker.slots import Slots
from worker.store import ContentCache, VerdictReader, connect
from worker.stream.breaker import CircuitBreaker
from worker.stream.clients import make_consumer
from worker.stream.consumer import ConsumerLoop, Handler
from worker.stream.lane import Lane
from worker.stream.ledger import Entry, Ledger
from worker.stream.pool import HostPool, share_of
from worker.stream.publisher import Publisher
from worker.stream.sizes import RecordSizes
from worker.stream.topics import require_topics
from worker.telemetry.complaints import Complaints
from worker.telemetry.metrics import Metrics

__all__ = ["PART_S", "Plan", "Rejudge"]

log = structlog.get_logger()

LOOK_S = 1.0
"""Between looks at how far the group is."""
ASK_S = 5.0
"""For the broker to say it: a process that is to end waits for that, too."""
TOLD_S = 10.0
"""Between lines of progress."""
PART_S = 20.0
"""Between parts: what a kill costs at most, and what keeps files from being many."""
BROKEN_S = 3.0
"""For what still works to drain, once the engines fail."""


@dataclass(frozen=True)
class Plan:
    """What a command asks for.

    Attributes:
        wanted: which events.
        profile: judges all of them, in place of those that the settings name.
        per_second: pictures, in each process; 0 for no limit.
        folder: where rows go; none: verdicts are published.

    """

    wanted: Wanted
    profile: Profile | None = None
    per_second: float = 0.0
    folder: Path | None = None


class Rejudge:
    """Built, not started. It does what it can to leave nothing worse than it was.

    Raises:
        BrokerError: the broker is away, or a topic is missing.
        SettingsError, EngineError, ProfileError: it cannot start as it is set.
        IqaError: the folder holds something else.

    """

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self._plan = plan
        self._settings = settings = _own(settings, plan)
        if plan.folder is None:
            require_topics(settings)
        self.tally = Tally()
        self.stopped = threading.Event()
        """Set when nothing more is to be begun: the end, a signal, or a failure."""
        self._over = threading.Event()
        self._done = False
        self._failure: BaseException | None = None
        self._complaints = Complaints()
        self._decoders = make_decoders(settings)
        decoding = self._decoders.decode if self._decoders else decode
        self._assessors = make_assessors(settings, None, decoding, Slots(cpu_slots(settings)), plan.profile)
        self._fetcher = Fetcher(settings.fetch, settings.s3)
        client = connect(settings.redis)
        self._reader = VerdictReader(client) if client else None
        self._pipeline = Pipeline(self._fetcher.fetch, self._assessors, ContentCache(client) if client else None)
        fingerprints = _fingerprints(self._assessors, plan.wanted)
        folder_id = claim_folder(plan.folder, _told(plan.wanted, fingerprints)) if plan.folder else ""
        self.group = group_of(settings.kafka.group_id, plan.wanted, fingerprints, folder_id)
        self._ranges: dict[int, Range] = {}
        threads = settings.worker.threads
        self._pool = HostPool(threads, share_of(threads, settings.fetch.per_host))
        self._breaker = CircuitBreaker()
        self._doubts = Doubts(self._breaker, self._on_broken)
        self._parts: PartsPublisher | None = None
        self._lane: Lane | None = None

    @property
    def done(self) -> bool:
        """After ``run``: whether all that was there is done, by this process or others."""
        return self._done

    def run(self) -> None:
        """Judge until the group has passed the ends of all partitions, or ``stop``; then drain.

        Raises:
            BrokerError: the broker is away at the start, or a consumer met a fatal error.
            StoppedError: most pictures failed in this process itself.
            OSError: rows cannot be written.

        """
        if self._reader is None:
            told = "without IQA_REDIS__URL it is not known which images were uploaded again or have this verdict already"
            log.warning("rejudge_without_redis", told=told)
        asking = make_consumer(self._settings.kafka, self.group)
        try:
            lane = self._begin(asking)
            watching = threading.Thread(target=self._watch, args=(asking, lane), name="rejudge", daemon=True)
            lane.start()
            watching.start()
            if self.stopped.is_set():
                self.stop()
            lane.loop.run()
            self._over.set()
            watching.join(2 * ASK_S)
            if not (self._done or watching.is_alive()):
                self._look(asking)
        finally:
            self.stopped.set()
            self._over.set()
            self._close()
            asking.close()
        log.info("rejudge_stopped", done=self._done, **self.tally.told())
        if self._failure is not None:
            raise self._failure

    def stop(self, budget_s: float | None = None) -> None:
        """Begin to drain. Safe from signal handlers and other threads."""
        self.stopped.set()
        if self._lane is not None:
            self._lane.loop.stop(budget_s)

    def _begin(self, asking: Consumer) -> Lane:
        topic = self._settings.topics.uploads
        self._ranges = find_ranges(asking, topic, self._plan.wanted)
        places = place_group(asking, topic, self._ranges)
        log.info(
            "rejudge_begins",
            group=self.group,
            fingerprints=_fingerprints(self._assessors, self._plan.wanted),
            events=sum(each.end - each.start for each in self._ranges.values()),
            left=left(self._ranges, places),
        )
        shared = (self._pool, self._pipeline, Metrics().lanes["uploads"], self._breaker, self._fail)
        self._lane = lane = Lane(self._settings, self.group, {topic: 0.0}, *shared, work=self)
        noted = lane.ledger.on_published

        def note(entry: Entry) -> None:
            noted(entry)
            self.tally.settle(entry)

        lane.ledger.on_published = note
        return lane

    def _watch(self, asking: Consumer, lane: Lane) -> None:
        told = began = time.monotonic()
        try:
            while not self._over.wait(LOOK_S):
                if self.stopped.is_set():
                    # The drain waits for them.
                    self._doubts.settle()
                    continue
                offsets = self._look(asking)
                if time.monotonic() - told >= TOLD_S:
                    told = time.monotonic()
                    rate = round(self.tally["judged"] / (told - began), 1)
                    log.info("rejudge_progress", left=offsets, per_second=rate, **self.tally.told())
                self._flush(lane)
                if self._parts is not None and self._parts.failure is not None:
                    self._fail(self._parts.failure)
                if self._done:
                    self.stop()
        except BaseException as error:  # nobody else would see the end
            self._fail(error)

    def _look(self, asking: Consumer) -> int | None:
        """How much is left to the whole group; ``None`` if the broker does not say."""
        topic = self._settings.topics.uploads
        try:
            places = committed(asking, topic, self._ranges, ASK_S)
        except BrokerError as error:
            self._complaints.say("rejudge_place_unknown", str(error))
            return None
        self._done = all(places.get(number, -1) >= each.end for number, each in self._ranges.items())
        return left(self._ranges, places)

    def _flush(self, lane: Lane) -> None:
        """Where nothing is worked on, nothing is waited for: neither the next part, nor what failed."""
        topic = self._settings.topics.uploads
        unfinished = sum(lane.ledger.load((topic, number)).unfinished for number in self._ranges)
        if unfinished and unfinished == self._doubts.held:
            self._doubts.settle()
        if self._parts is not None and unfinished == 0 and lane.ledger.finished():
            lane.publisher.publish_now()

    def _on_broken(self) -> None:
        message = "most pictures fail in this process itself, see rejudge_failed in the log: the same command goes on from here"
        self._fail(StoppedError(message))

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self.stop(BROKEN_S)

    def _close(self) -> None:
        self._fetcher.close()
        self._pool.shutdown()
        if self._decoders:
            self._decoders.close()

    def find(self, image_id: str) -> QualityVerdict | None:
        """The verdict that an image has now; a Redis that is away is waited for, until the end."""
        while self._reader is not None:
            try:
                return self._reader.get_many([image_id])[image_id]
            except CacheError as error:
                self._complaints.say("rejudge_waits_for_redis", str(error))
                if self.stopped.wait(LOOK_S):
                    return None
        return None

    def find_many(self, image_ids: Sequence[str]) -> Mapping[str, QualityVerdict | None]:
        """The verdicts that images have now.

        Raises:
            CacheError: Redis is away.

        """
        return self._reader.get_many(image_ids) if self._reader else {}

    def make_handler(self, ledger: Ledger, sizes: RecordSizes) -> Handler:
        """See ``Work``."""
        plan = self._plan
        return RejudgeHandler(
            plan.wanted,
            self._pipeline,
            lambda service: self._assessors.of(service).fingerprint,
            self.find,
            Rate(plan.per_second),
            self._settings,
            self._pool,
            ledger,
            sizes,
            self.tally,
            self._doubts,
            self.stopped,
            rows=plan.folder is not None,
        )

    def make_publisher(self, usual: Callable[[], Publisher], ledger: Ledger) -> Publisher:
        """See ``Work``: rows go to files, verdicts to the topic."""
        if self._plan.folder is None:
            return CheckingPublisher(usual(), self.find_many, self.tally)
        self._parts = PartsPublisher(self._plan.folder, ledger)
        return self._parts

    def make_loop(self, consumer: Consumer, *parts: Any, **more: Any) -> ConsumerLoop:
        """See ``Work``."""
        ends = {(self._settings.topics.uploads, number): each.end for number, each in self._ranges.items()}
        return RangeLoop(consumer, *parts, ends=ends, **more)


def _own(settings: Settings, plan: Plan) -> Settings:
    """Names that are one worker's are not this process's: it is in other groups, and there may be several of it."""
    kafka = settings.kafka.model_copy(update={"instance_id": None, "transactional_id": None})
    worker = settings.worker.model_copy(update={"publish_interval_ms": PART_S * 1000}) if plan.folder else settings.worker
    return settings.model_copy(update={"kafka": kafka, "worker": worker, "shadow_profile": None})


def _fingerprints(assessors: Assessors, wanted: Wanted) -> list[str]:
    if not wanted.services:
        return assessors.fingerprints
    return sorted({assessors.of(service).fingerprint for service in wanted.services})


def _told(wanted: Wanted, fingerprints: Sequence[str]) -> dict[str, Any]:
    return {
        "since": wanted.since.astimezone(UTC).isoformat(),
        "until": wanted.until.astimezone(UTC).isoformat() if wanted.until else None,
        "services": sorted(wanted.services),
        "fingerprints": list(fingerprints),
    }
