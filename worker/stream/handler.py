"""Works on one record: parse, wait for the host's share of the threads, judge; and always finish its entry.

Whatever a record carries, its entry is finished and leaves a verdict, a retry or a dead letter with a reason. Only failures of
the worker's own count for the circuit breaker; what a sender or a host does never counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import structlog

from engines.errors import EngineError
from worker.contracts.events import ImageUploaded
from worker.contracts.verdicts import QualityVerdict
from worker.errors import DecodingError, EventError, FetchFailedError
from worker.pipeline import Pipeline
from worker.settings import Settings
from worker.stream.breaker import CircuitBreaker
from worker.stream.incoming import Record, event_in
from worker.stream.ledger import Entry, Ledger, Outgoing
from worker.stream.pool import HostPool, Leave, host_of
from worker.stream.records import Blame, dead_letter, fitting_verdict
from worker.stream.retries import PASSING_CODES, retry_record
from worker.stream.sizes import RecordSizes
from worker.telemetry.metrics import Metrics
from worker.telemetry.traces import NO_TRACING, LaneTracing

__all__ = ["EventHandler"]

log = structlog.get_logger()


class EventHandler:
    """Called by the pool's threads.

    Args:
        pipeline: judges events.
        ledger: where entries are finished.
        settings: topics, retries, bounds.
        metrics: counts what came of events.
        pool: carries the work for a host; without one it is done at once.
        breaker: is told of every event.
        sizes: the largest record of each topic.
        tracing: is told of the work on each event.

    """

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        settings: Settings,
        metrics: Metrics,
        breaker: CircuitBreaker | None = None,
        pool: HostPool | None = None,
        sizes: RecordSizes | None = None,
        tracing: LaneTracing = NO_TRACING,
    ) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._settings = settings
        self._metrics = metrics
        self._breaker = breaker or CircuitBreaker()
        self._pool = pool
        self._sizes = sizes or RecordSizes()
        self._tracing = tracing

    def __call__(self, record: Record, entry: Entry) -> None:
        """Find out what ``record`` needs, and hand it on; nothing that happens in here loses it."""
        event: ImageUploaded | None = None
        failure: Exception | None = None
        try:
            event = event_in(record, self._settings.worker.max_event_bytes)
        except Exception as error:  # told and counted where the entry is finished
            failure = error
        if event is None or self._pool is None:
            self._work(record, entry, event, failure, lambda: None)
        else:
            self._pool.submit_to(host_of(event.url), partial(self._work, record, entry, event, None))

    def _work(self, record: Record, entry: Entry, event: ImageUploaded | None, failure: Exception | None, leave: Leave) -> None:
        """From an event, or from what is wrong with it, to a finished entry; unless the entry was cancelled."""
        if not self._ledger.begin(entry):
            return
        work = self._tracing.process(record)
        record = work.record
        records: Sequence[Outgoing] = ()
        verdict: QualityVerdict | None = None
        failed = True
        with structlog.contextvars.bound_contextvars(**_context(record, event), **work.logged):
            try:
                if failure is not None or event is None:
                    failure = failure or AssertionError("neither event nor failure")
                    records, failed = self._saved(record, event, failure)
                else:
                    verdict = self._judge(record, event, leave)
                    records, failed = self._publication(record, verdict), False
            except Exception as error:
                failure, verdict = error, None
                records, failed = self._saved(record, event, error)
            finally:
                self._breaker.note(failed=failed)
                work.end(event, verdict, self._fault(failure, verdict, records))
                if records:
                    self._ledger.finish(entry, records, partial(self._refit, record, verdict))
                else:
                    # Finished with nothing, it would be committed and lost. It stays owed: /livez fails in the end, and whoever
                    # comes next reads it again.
                    log.critical("event_owed", told="not even a dead letter could be made of it")

    def _final(self, record: Record) -> bool:
        return record.attempt >= len(self._settings.retry.delays_s)

    def _judge(self, record: Record, event: ImageUploaded, leave: Leave) -> QualityVerdict:
        if not self._pipeline.knows(event.service):
            self._metrics.unknown_services.inc()
        verdict = self._pipeline.judge(event, final=self._final(record), on_fetched=leave)
        self._tell(verdict)
        return verdict

    def _tell(self, verdict: QualityVerdict) -> None:
        log.info(
            "judged",
            status=verdict.status,
            category=verdict.category,
            score=verdict.score,
            reason=verdict.reason.code if verdict.reason else None,
            latency_ms=verdict.latency_ms.get("total"),
        )

    def _publication(self, record: Record, verdict: QualityVerdict) -> list[Outgoing]:
        topic = self._settings.topics.verdicts
        source, limit = self._settings.worker.source, self._sizes.of(topic)
        published = fitting_verdict(verdict, topic, source, limit, record.trace_context)
        if published is None:
            return [self._dead(record, Blame("verdict_too_large", f"larger than the {limit} bytes of {topic}"))]
        published = replace(published, note=partial(self._metrics.observe, verdict), span=record.span)
        if record.attempt > 0 and verdict.reason is not None and verdict.reason.code in PASSING_CODES:
            # Nobody waits for ever, and nothing is lost: a verdict that says so, and the event for a replay.
            return [published, self._dead(record, Blame(verdict.reason.code, verdict.reason.detail, "FetchFailedError"))]
        return [published]

    def _saved(self, record: Record, event: ImageUploaded | None, error: Exception) -> tuple[list[Outgoing], bool]:
        try:
            return self._salvage(record, event, error)
        except Exception as worse:  # an entry without a record would be an event that is lost
            log.error("event_salvage_failed", exc_info=worse)
            return [self._dead(record, Blame("internal_error", type(worse).__name__, type(worse).__name__), bare=True)], True

    def _salvage(self, record: Record, event: ImageUploaded | None, error: Exception) -> tuple[list[Outgoing], bool]:
        """What is left of an event that failed, and whether the worker itself is to blame."""
        match error:
            case EventError():
                return [self._dead(record, Blame(error.code, error.detail, type(error).__name__))], False
            case FetchFailedError() if event is not None:
                return self._later(record, event, error), False
        # Whatever went wrong, the event is kept with its reason.
        log.error("event_failed", exc_info=error)
        blame = Blame("internal_error", str(error), type(error).__name__)
        if isinstance(error, EngineError | DecodingError) and not self._final(record):
            retry = self._retry(record, blame)
            if retry.size <= self._sizes.of(retry.topic):
                return [retry], True
        return [self._dead(record, blame)], True

    def _later(self, record: Record, event: ImageUploaded, error: FetchFailedError) -> list[Outgoing]:
        """A retry; or, where the retry topic would not take it, the verdict that would have come in the end."""
        retry = self._retry(record, Blame(error.code, error.detail, type(error).__name__))
        if retry.size <= self._sizes.of(retry.topic):
            return [retry]
        log.warning("retry_too_large", topic=retry.topic, bytes=retry.size)
        verdict = self._pipeline.give_up(event, error)
        self._tell(verdict)
        return self._publication(record, verdict)

    def _refit(self, record: Record, verdict: QualityVerdict | None, refusal: str, refusals: int) -> list[Outgoing]:
        """Other records in place of those that the broker has refused ``refusals`` times: smaller, and in the end bare."""
        if verdict is not None and refusals == 1:
            # The topic's own bound may have sunk since it was asked for: the same again, by what it is now.
            return self._publication(record, verdict)
        return [self._dead(record, Blame("refused_by_broker", refusal), bare=refusals > 2)]

    def _fault(self, failure: Exception | None, verdict: QualityVerdict | None, records: Sequence[Outgoing]) -> str | None:
        """What kind of failure the work ended with: a reason code, or an error's class; ``None`` if it gave a verdict alone."""
        if failure is not None:
            return str(getattr(failure, "code", type(failure).__name__))
        if all(record.topic == self._settings.topics.verdicts for record in records):
            return None
        return verdict.reason.code if verdict and verdict.reason else "verdict_too_large"

    def _retry(self, record: Record, blame: Blame) -> Outgoing:
        log.info("retry", attempt=record.attempt + 1, code=blame.code, detail=blame.detail[:200])
        made = retry_record(record, self._settings, code=blame.code, detail=blame.detail)
        return replace(made, note=self._metrics.retries.labels(str(record.attempt + 1), blame.code).inc, span=record.span)

    def _dead(self, record: Record, blame: Blame, *, bare: bool = False) -> Outgoing:
        log.warning("dead_letter", code=blame.code, detail=blame.detail[:200])
        topic = self._settings.topics.dead_letters
        made = dead_letter(
            record, topic, group_id=self._settings.kafka.group_id, blame=blame, limit=self._sizes.of(topic), bare=bare
        )
        return replace(made, note=self._metrics.dead_letters.labels(blame.code).inc, span=record.span)


def _context(record: Record, event: ImageUploaded | None) -> dict[str, object]:
    """What lines about an event say of it."""
    context: dict[str, object] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    if event is not None:
        return context | {"event_id": event.event_id, "image_id": event.image_id}
    return context | ({"key": record.key[:100].decode("utf-8", "replace")} if record.key else {})
