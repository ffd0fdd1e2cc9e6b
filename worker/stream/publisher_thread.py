"""Publishes what is finished every now and then, and keeps what is refused from holding up the rest.

A record that is refused for good is found by halving the batch, since a broker refuses batches and not single records; its
entry gets other records (see ``Refit``), and its neighbours are published at once. A topic that takes nothing holds back the
partitions whose next entry needs it, and nobody else; it is tried again every few seconds, apart from the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from worker.errors import BrokerError
from worker.stream.ledger import Entry, Ledger, Partition
from worker.stream.publisher import Publisher
from worker.stream.refusals import ClosedTopicError, RefusedError
from worker.telemetry.complaints import Complaints
from worker.telemetry.metrics import LaneMetrics

__all__ = ["PublisherThread"]

log = structlog.get_logger()

TURN_S = 45.0
"""Longer than a publication takes, but for one that fails at every step."""

STUCK_S = 180.0
"""A publication that takes so long will not end: no bound of ours is half as long."""

REOPEN_S = 5.0
"""Between tries of a topic that takes nothing."""

MOST_PAUSE_S = 1.0
"""Between publications that fail."""

MOST_REFUSALS = 4
"""Of one entry; its last records are bare. One that is refused even so holds back its partition, and is tried again."""


class PublisherThread:
    """Publishes what is finished every ``interval_s``, and whenever it is asked to.

    Args:
        ledger: knows what is finished.
        publisher: makes it durable.
        interval_s: between publications.
        metrics: counts failures.
        refresh_sizes: asks for the topics' bounds again; called when a record was refused.
        on_failure: told if the thread dies: nothing would be published any more.

    """

    def __init__(
        self,
        ledger: Ledger,
        publisher: Publisher,
        interval_s: float,
        metrics: LaneMetrics,
        refresh_sizes: Callable[[], None] = lambda: None,
        on_failure: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._interval_s = interval_s
        self._metrics = metrics
        self._refresh_sizes = refresh_sizes
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._last_turn = time.monotonic()
        self._failing_since: float | None = None
        self._closed: dict[str, float] = {}
        """Topics that take nothing, each with when it is tried again (monotonic seconds)."""
        self._stuck: dict[Partition, float] = {}
        """Partitions whose next entry is refused whatever is made of it, each with when it is tried again."""
        self._sizes_are_fresh = False
        self._complaints = Complaints()
        # One publication at a time: the rebalance callback publishes too, from the poll thread.
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    @property
    def commits_offsets(self) -> bool:
        """Whether what is published is committed already."""
        return self._publisher.commits_offsets

    @property
    def failing_s(self) -> float:
        """Seconds since when every publication has failed; 0 if the last one has not."""
        since = self._failing_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def closed_topics(self) -> list[str]:
        """Topics that take nothing at present."""
        return sorted(self._closed)

    @property
    def stuck_partitions(self) -> list[Partition]:
        """Partitions whose next result no topic takes, whatever is made of it."""
        return sorted(self._stuck)

    def start(self) -> None:
        """Start publishing.

        Raises:
            BrokerError: the publisher cannot get ready.

        """
        self._publisher.prepare()
        self._last_turn = time.monotonic()
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs, and has come round lately."""
        return self._thread.is_alive() and time.monotonic() - self._last_turn < STUCK_S

    def publish_now(self, partitions: list[Partition] | None = None, timeout_s: float = TURN_S) -> bool:
        """Publish what is finished (of ``partitions``); false if the broker did not take all of it."""
        if not self._turn.acquire(timeout=max(0.0, timeout_s)):
            # Whoever publishes now has not come back: the poll thread must not wait for ever.
            log.error("publisher_stuck", seconds=round(timeout_s, 1))
            return False
        try:
            self._free_stuck()
            done = self._publish(self._ready(partitions))
            if done and not self._ledger.finished():
                self._works_again()
            return self._try_closed(partitions) and done and not self._stuck
        finally:
            self._turn.release()

    def stop(self, timeout_s: float = TURN_S) -> bool:
        """Stop the thread, then publish what is left; false if that did not come to its end in time."""
        self._stop.set()
        end = time.monotonic() + timeout_s
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                log.error("publisher_stuck", seconds=round(timeout_s, 1))
                return False
        return self.publish_now(timeout_s=end - time.monotonic())

    def _publish(self, entries: Sequence[Entry]) -> bool:
        if not entries:
            return True
        self._sizes_are_fresh = False
        try:
            with self._metrics.shared.publish_seconds.time():
                self._halve(entries)
        except ClosedTopicError as error:
            self._failed(error, entries)
            self._closed[error.topic] = time.monotonic() + REOPEN_S
            # What needs the topic is left out; the rest waits for nobody.
            return self._publish(self._ready({entry.partition for entry in entries})) and False
        except BrokerError as error:
            self._failed(error, entries)
            return False
        self._works_again()
        return True

    def _works_again(self) -> None:
        if self._failing_since is not None:
            log.info("publishing_again", failed_s=round(self.failing_s, 1))
        self._failing_since = None

    def _failed(self, error: BrokerError, entries: Sequence[Entry]) -> None:
        self._metrics.publish_failures.inc()
        self._failing_since = self._failing_since or time.monotonic()
        self._complaints.say("publish_failed", str(error), events=len(entries))

    def _ready(self, partitions: Iterable[Partition] | None) -> list[Entry]:
        return self._ledger.finished(partitions, self._closed, without=self._stuck)

    def _halve(self, entries: Sequence[Entry]) -> None:
        """Publish all, in order; where a record is refused, each half by itself, down to the single entry that is to blame."""
        # Without transactions some of them may be durable already; what comes after an entry that is stuck waits for it.
        left = [entry for entry in entries if not entry.is_published and entry.partition not in self._stuck]
        if not left:
            return
        self._last_turn = time.monotonic()
        try:
            self._publisher.publish(left)
        except RefusedError as error:
            if not self._sizes_are_fresh:
                self._refresh_sizes()
                self._sizes_are_fresh = True
            left = [entry for entry in left if not entry.is_published]
            if len(left) > 1:
                self._complaints.say("publish_halved", str(error), events=len(left))
                middle = len(left) // 2
                self._halve(left[:middle])
                self._halve(left[middle:])
            elif left and self._replace(left[0], error):
                self._halve(left)

    def _replace(self, entry: Entry, error: RefusedError) -> bool:
        """Give ``entry`` other records; false if there are none left that could be taken. Then its partition waits."""
        entry.refusals += 1
        where = {"topic": entry.partition[0], "partition": entry.partition[1], "offset": entry.offset}
        self._complaints.say("record_refused", str(error), refusals=entry.refusals, **where)
        self._metrics.shared.refused.labels(error.code).inc()
        if entry.refit is None or entry.refusals >= MOST_REFUSALS:
            self._stuck[entry.partition] = time.monotonic() + REOPEN_S
            return False
        entry.records = tuple(entry.refit(str(error), entry.refusals))
        return True

    def _free_stuck(self) -> None:
        now = time.monotonic()
        self._stuck = {partition: due for partition, due in self._stuck.items() if due > now}

    def _try_closed(self, partitions: list[Partition] | None) -> bool:
        """Give topics that took nothing another chance, each for itself and after all others."""
        now, done = time.monotonic(), True
        for topic in [topic for topic, due in self._closed.items() if due <= now]:
            held = self._ledger.finished(partitions, {topic}, only_closed=True, without=self._stuck)
            if self._publish(held):
                del self._closed[topic]
            else:
                done = False
        return done and not self._closed

    def _run(self) -> None:
        try:
            pause = self._interval_s
            while not self._stop.wait(pause):
                self._last_turn = time.monotonic()
                self.publish_now()
                # What fails at once need not fail five times a second.
                longest = max(MOST_PAUSE_S, self._interval_s)
                pause = self._interval_s if self._failing_since is None else min(2 * pause, longest)
        except BaseException as error:
            log.error("publisher_died", exc_info=error)
            self._on_failure(error)
