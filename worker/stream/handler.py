"""Works on one record: parse, judge, and always finish its entry with something to publish."""

from __future__ import annotations

import structlog

from engines.errors import EngineError
from worker.contracts.cloudevents import header_map, parse_event
from worker.contracts.verdicts import QualityVerdict
from worker.errors import DecodingError, EventError, FetchFailedError
from worker.pipeline import Pipeline
from worker.settings import Settings
from worker.stream.breaker import CircuitBreaker
from worker.stream.incoming import Record
from worker.stream.ledger import Entry, Ledger, Outgoing
from worker.stream.records import dead_letter, verdict_record
from worker.stream.retries import PASSING_CODES, retry_record
from worker.telemetry.metrics import Metrics

__all__ = ["EventHandler"]

log = structlog.get_logger()


class EventHandler:
    """Called by the pool's threads."""

    def __init__(
        self, pipeline: Pipeline, ledger: Ledger, settings: Settings, metrics: Metrics, breaker: CircuitBreaker | None = None
    ) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._settings = settings
        self._metrics = metrics
        self._breaker = breaker or CircuitBreaker()

    def __call__(self, record: Record, entry: Entry) -> None:
        """Work on ``record`` unless its entry was cancelled; nothing that happens in here loses it."""
        if not self._ledger.begin(entry):
            return
        with structlog.contextvars.bound_contextvars(partition=entry.partition[1], offset=entry.offset):
            records, failed = self._outcome(record)
        self._breaker.note(failed=failed)
        self._ledger.finish(entry, records)

    def _outcome(self, record: Record) -> tuple[list[Outgoing], bool]:
        """What to publish, and whether the failure, if any, is the worker's own."""
        final = record.attempt >= len(self._settings.retry.delays_s)
        try:
            return self._judge(record, final=final), False
        except EventError as error:
            return [self._dead(record, error.code, error.detail, error)], False
        except FetchFailedError as error:
            return [self._retry(record, error.code, error.detail)], False
        except Exception as error:  # whatever went wrong, the event is kept with its reason
            log.exception("event_failed")
            if isinstance(error, EngineError | DecodingError) and not final:
                return [self._retry(record, "internal_error", str(error))], True
            return [self._dead(record, "internal_error", str(error), error)], True

    def _judge(self, record: Record, *, final: bool) -> list[Outgoing]:
        event = parse_event(record.value, header_map(record.headers))
        with structlog.contextvars.bound_contextvars(event_id=event.event_id, image_id=event.image_id):
            if not self._pipeline.knows(event.service):
                self._metrics.unknown_services.inc()
            verdict = self._pipeline.judge(event, final=final)
            self._metrics.observe(verdict)
            log.info(
                "judged",
                status=verdict.status,
                category=verdict.category,
                score=verdict.score,
                reason=verdict.reason.code if verdict.reason else None,
                latency_ms=verdict.latency_ms.get("total"),
            )
        records = [verdict_record(verdict, self._settings.topics.verdicts, self._settings.worker.source)]
        if self._given_up(record, verdict) and verdict.reason:
            # Nobody waits for ever, and nothing is lost: a verdict that says so, and the event for a replay.
            records.append(self._dead(record, verdict.reason.code, verdict.reason.detail, None))
        return records

    def _given_up(self, record: Record, verdict: QualityVerdict) -> bool:
        """Whether the last of several attempts failed for a reason that once might have passed."""
        return record.attempt > 0 and verdict.reason is not None and verdict.reason.code in PASSING_CODES

    def _retry(self, record: Record, code: str, detail: str) -> Outgoing:
        attempt = record.attempt + 1
        self._metrics.retries.labels(str(attempt), code).inc()
        log.info("retry", attempt=attempt, code=code, detail=detail[:200])
        return retry_record(record, self._settings, code=code, detail=detail)

    def _dead(self, record: Record, code: str, detail: str, error: Exception | None) -> Outgoing:
        self._metrics.dead_letters.labels(code).inc()
        log.warning("dead_letter", code=code, detail=detail[:200])
        topic, name = self._settings.topics.dead_letters, type(error).__name__ if error else "FetchFailedError"
        return dead_letter(record, topic, group_id=self._settings.kafka.group_id, code=code, detail=detail, error=name)
