"""Works on one record: parse, judge, and always finish its entry with something to publish."""

from __future__ import annotations

import structlog
from confluent_kafka import Message

from worker.contracts.cloudevents import header_map, parse_event
from worker.errors import EventError
from worker.pipeline import Pipeline
from worker.settings import Settings
from worker.stream.ledger import Entry, Ledger, Outgoing
from worker.stream.records import dead_letter, header_list, verdict_record
from worker.telemetry.metrics import Metrics

__all__ = ["EventHandler"]

log = structlog.get_logger()


class EventHandler:
    """Called by the pool's threads."""

    def __init__(self, pipeline: Pipeline, ledger: Ledger, settings: Settings, metrics: Metrics) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._settings = settings
        self._metrics = metrics

    def __call__(self, message: Message, entry: Entry) -> None:
        """Work on ``message`` unless its entry was cancelled; nothing that happens in here loses it."""
        if not self._ledger.begin(entry):
            return
        with structlog.contextvars.bound_contextvars(partition=entry.partition[1], offset=entry.offset):
            try:
                record = self._judge(message)
            except EventError as error:
                record = self._dead(message, error.code, error.detail, type(error).__name__)
            except Exception as error:  # whatever went wrong, the event is kept with its reason
                log.exception("event_failed")
                record = self._dead(message, "internal_error", str(error), type(error).__name__)
        self._ledger.finish(entry, [record])

    def _judge(self, message: Message) -> Outgoing:
        body = message.value()
        event = parse_event(body.encode() if isinstance(body, str) else body, header_map(header_list(message)))
        with structlog.contextvars.bound_contextvars(event_id=event.event_id, image_id=event.image_id):
            if not self._pipeline.knows(event.service):
                self._metrics.unknown_services.inc()
            verdict = self._pipeline.judge(event)
            self._metrics.observe(verdict)
            log.info(
                "judged",
                status=verdict.status,
                category=verdict.category,
                score=verdict.score,
                reason=verdict.reason.code if verdict.reason else None,
                latency_ms=verdict.latency_ms.get("total"),
            )
        return verdict_record(verdict, self._settings.topics.verdicts, self._settings.worker.source)

    def _dead(self, message: Message, code: str, detail: str, error: str) -> Outgoing:
        self._metrics.dead_letters.labels(code).inc()
        log.warning("dead_letter", code=code, detail=detail[:200])
        topic = self._settings.topics.dead_letters
        return dead_letter(message, topic, group_id=self._settings.kafka.group_id, code=code, detail=detail, error=error)
