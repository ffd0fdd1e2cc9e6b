"""Publishes what is finished every now and then, and keeps what is refused from holding up the rest.

A record that is refused for good is found by halving the batch, since a broker refuses batches and not single records; its
entry gets other records (see ``Refit``), and its neighbours are published at once. A topic that takes nothing holds back the
partitions whose next entry needs it, and nobody else; it is tried again every few seconds, apart from the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from worker.errors import BrokerError
from worker.stream.ledger import Entry, Ledger, Partition
from worker.stream.publisher import Publisher
from worker.stream.refusals import ClosedTopicError, RefusedError
from worker.telemetry.metrics import Metrics

__all__ = ["PublisherThread"]

log = structlog.get_logger()

TURN_S = 45.0
"""Longer than a publication takes, but for one that fails at every step."""

STUCK_S = 180.0
"""A publication that takes so long will not end: no bound of ours is half as long."""

REOPEN_S = 5.0
"""Between tries of a topic that takes nothing."""

MOST_REFUSALS = 4
"""Of one entry; its last records are bare. A topic that takes not even those is as good as closed."""


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
        metrics: Metrics,
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
            done = self._publish(self._ledger.finished(partitions, self._closed))
            return self._try_closed(partitions) and done
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
            self._failing_since = None
            return True
        try:
            with self._metrics.publish_seconds.time():
                self._halve(entries)
        except ClosedTopicError as error:
            self._failed(error, entries)
            self._closed[error.topic] = time.monotonic() + REOPEN_S
            # What needs the topic is left out; the rest waits for nobody.
            wanted = {entry.partition for entry in entries}
            return self._publish(self._ledger.finished(wanted, self._closed)) and False
        except BrokerError as error:
            self._failed(error, entries)
            return False
        self._failing_since = None
        return True

    def _failed(self, error: BrokerError, entries: Sequence[Entry]) -> None:
        self._metrics.publish_failures.inc()
        self._failing_since = self._failing_since or time.monotonic()
        log.error("publish_failed", error=str(error), events=len(entries))

    def _halve(self, entries: Sequence[Entry]) -> None:
        """Publish all, in order; where a record is refused, each half by itself, down to the single entry that is to blame."""
        try:
            self._publisher.publish(entries)
        except RefusedError as error:
            self._refresh_sizes()
            # Without transactions some of them may be durable already.
            left = [entry for entry in entries if not entry.is_published]
            if len(left) > 1:
                log.warning("publish_halved", error=str(error), events=len(left))
                middle = len(left) // 2
                self._halve(left[:middle])
                self._halve(left[middle:])
            elif left:
                self._replace(left[0], error)
                self._halve(left)

    def _replace(self, entry: Entry, error: RefusedError) -> None:
        entry.refusals += 1
        where = {"topic": entry.partition[0], "partition": entry.partition[1], "offset": entry.offset}
        log.error("record_refused", error=str(error), refusals=entry.refusals, **where)
        self._metrics.refused.labels(error.code).inc()
        if entry.refit is None or entry.refusals >= MOST_REFUSALS:
            raise ClosedTopicError(str(error), entry.records[-1].topic if entry.records else "") from error
        entry.records = tuple(entry.refit(str(error), entry.refusals))

    def _try_closed(self, partitions: list[Partition] | None) -> bool:
        """Give topics that took nothing another chance, each for itself and after all others."""
        now, done = time.monotonic(), True
        for topic in [topic for topic, due in self._closed.items() if due <= now]:
            del self._closed[topic]
            held = self._ledger.finished(partitions, {topic}, only_closed=True)
            if held:
                log.warning("topic_tried_again", topic=topic, events=len(held))
            done = self._publish(held) and done
        return done and not self._closed

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._interval_s):
                self._last_turn = time.monotonic()
                self.publish_now()
        except BaseException as error:
            log.error("publisher_died", exc_info=error)
            self._on_failure(error)
