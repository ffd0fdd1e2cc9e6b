"""Works on one record of the past: not meant, kept as it is, or judged again; and finishes its entry.

A picture that can no longer be fetched, an event that never was one, and a failure of the process itself leave no record: the
image keeps the verdict that it has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from worker.contracts.events import ImageUploaded
from worker.contracts.verdicts import QualityVerdict
from worker.errors import FetchFailedError
from worker.pipeline import Pipeline
from worker.rejudge.rows import RowOutgoing, row_of
from worker.rejudge.tally import GONE, Doubts, Tally
from worker.rejudge.wanted import Rate, Wanted, is_already, is_of, is_superseded
from worker.settings import Settings
from worker.stream.incoming import Record, event_in
from worker.stream.ledger import Entry, Ledger, Outgoing
from worker.stream.pool import HostPool, Leave, host_of
from worker.stream.records import fitting_verdict
from worker.stream.sizes import RecordSizes

__all__ = ["Find", "Judged", "RejudgeHandler"]

log = structlog.get_logger()

Find = Callable[[str], QualityVerdict | None]
"""The verdict that an image has now; waits for a Redis that is away."""


@dataclass(frozen=True, kw_only=True)
class Judged(Outgoing):
    """A verdict to publish, with the event that it is on: looked at once more before it goes."""

    event: ImageUploaded = field(compare=False, repr=False)


class RejudgeHandler:
    """Called by the pool's threads.

    Args:
        wanted: which events.
        pipeline: judges them.
        fingerprint_of: what events of a service are judged by.
        find: the verdict that an image has.
        rate: of pictures.
        settings: topics, bounds.
        pool: carries the work for a host.
        ledger: where entries are finished.
        sizes: the largest record of each topic.
        tally: counts.
        doubts: holds what fails in the process itself.
        stop: set when nothing more is to be begun.
        rows: whether rows are made, one for every event, instead of verdicts.

    """

    def __init__(
        self,
        wanted: Wanted,
        pipeline: Pipeline,
        fingerprint_of: Callable[[str | None], str],
        find: Find,
        rate: Rate,
        settings: Settings,
        pool: HostPool,
        ledger: Ledger,
        sizes: RecordSizes,
        tally: Tally,
        doubts: Doubts,
        stop: threading.Event,
        *,
        rows: bool = False,
    ) -> None:
        self._wanted = wanted
        self._pipeline = pipeline
        self._fingerprint_of = fingerprint_of
        self._find = find
        self._rate = rate
        self._settings = settings
        self._pool = pool
        self._ledger = ledger
        self._sizes = sizes
        self._tally = tally
        self._doubts = doubts
        self._stop = stop
        self._rows = rows

    def __call__(self, record: Record, entry: Entry) -> None:
        """Find out whether ``record`` is meant, and hand it on; never raises."""
        if not self._wanted.in_time(record.timestamp_ms):
            self._finish(entry, "out_of_range")
            return
        try:
            event = event_in(record, self._settings.worker.max_event_bytes)
        except Exception as error:  # a dead letter was made of it when it came; here it is passed over, and counted
            log.debug("rejudge_no_event", partition=record.partition, offset=record.offset, error=str(error))
            self._finish(entry, "no_event")
            return
        if not self._wanted.of_service(event.service):
            self._finish(entry, "other_service")
        else:
            self._pool.submit_to(host_of(event.url), partial(self._work, record, entry, event))

    def _finish(self, entry: Entry, what: str) -> None:
        if self._ledger.begin(entry):
            self._tally.expect(entry, what)
            self._ledger.finish(entry, ())

    def _work(self, record: Record, entry: Entry, event: ImageUploaded, leave: Leave) -> None:
        try:
            # Nothing is begun before its turn: what waits is given up at once where the process stops, and waits for nobody.
            current = self._find(event.image_id)
            if kept := self._kept(current, event):
                self._finish(entry, kept)
                return
            if not self._rate.wait(self._stop) or not self._ledger.begin(entry):
                return
            records = self._judge(record, entry, event, current, leave)
        except Exception as error:
            where = {"partition": record.partition, "offset": record.offset}
            log.error("rejudge_failed", event_id=event.event_id, image_id=event.image_id, **where, exc_info=error)
            self._ledger.begin(entry)
            self._doubts.failed(partial(self._give_up, entry))
        else:
            self._ledger.finish(entry, records, partial(self._refit, entry, records))
            self._doubts.good()

    def _kept(self, current: QualityVerdict | None, event: ImageUploaded) -> str | None:
        """Why the image keeps the verdict that it has; ``None`` if it does not."""
        if not self._rows and is_superseded(current, event):
            return "superseded"
        if not self._rows and is_already(current, event, self._fingerprint_of(event.service)):
            return "already"
        return None

    def _give_up(self, entry: Entry) -> None:
        self._tally.expect(entry, "failed")
        self._ledger.finish(entry, ())

    def _judge(
        self, record: Record, entry: Entry, event: ImageUploaded, current: QualityVerdict | None, leave: Leave
    ) -> list[Outgoing]:
        """What comes of one picture; counted once that is durable.

        Raises:
            EngineError: an engine failed. So may anything else that is a mistake of ours.

        """
        verdict: QualityVerdict | None = None
        code: str | None = None
        try:
            verdict = self._pipeline.judge(event, bytes_only=True, on_fetched=leave)
        except FetchFailedError as error:
            code = error.code
            self._tally.expect(entry, GONE, code)
            log.info("rejudge_gone", code=code, event_id=event.event_id, image_id=event.image_id)
        note = partial(self._note, verdict, current if is_of(current, event) else None) if verdict else None
        if self._rows:
            row = row_of(record, event, current, verdict, code)
            return [RowOutgoing("", b"-", b"", (), note=note, row=row)]
        if verdict is None:
            return []
        topic, source = self._settings.topics.verdicts, self._settings.worker.source
        made = fitting_verdict(verdict, topic, source, self._sizes.of(topic), record.trace_context)
        if made is None:
            self._tally.expect(entry, "too_large")
            return []
        return [Judged(topic=made.topic, key=made.key, value=made.value, headers=made.headers, note=note, event=event)]

    def _note(self, verdict: QualityVerdict, old: QualityVerdict | None) -> None:
        self._tally.add("judged")
        if old is not None and old.content_sha256 not in {None, verdict.content_sha256}:
            self._tally.add("changed")
        if old is not None and old.category != verdict.category:
            self._tally.add("other_category")

    def _refit(self, entry: Entry, records: Sequence[Outgoing], refusal: str, refusals: int) -> list[Outgoing]:
        """Once more by the topic's bound as it is now; then nothing: the image keeps the verdict that it has."""
        if refusals == 1 and all(record.size <= self._sizes.of(record.topic) for record in records):
            return [replace(record) for record in records]
        self._tally.expect(entry, "refused")
        log.warning("rejudge_refused", error=refusal)
        return []
