"""Counts what would be judged again, without fetching or judging anything."""

from __future__ import annotations

from collections import Counter

from worker.errors import EventError
from worker.rejudge.ranges import find_ranges
from worker.rejudge.wanted import Wanted
from worker.settings import Settings
from worker.stream.clients import make_consumer
from worker.stream.dead_letters import Span, read_spans
from worker.stream.incoming import event_in

__all__ = ["count_events"]


def count_events(settings: Settings, wanted: Wanted) -> Counter[str | None]:
    """Events by service, ``None`` for those that name none; whatever was judged again already is counted, too.

    Raises:
        BrokerError: the broker is away, or there is no such topic.

    """
    topic, found = settings.topics.uploads, Counter[str | None]()
    consumer = make_consumer(settings.kafka, f"{settings.kafka.group_id}.rejudge.reader", **{"enable.partition.eof": True})
    try:
        spans = [Span(number, each.start, each.end) for number, each in find_ranges(consumer, topic, wanted).items()]
        for records in read_spans(consumer, topic, spans, 500):
            for record in records:
                try:
                    if wanted.in_time(record.timestamp_ms):
                        found[event_in(record, settings.worker.max_event_bytes).service] += 1
                except EventError:
                    continue
    finally:
        consumer.close()
    return Counter({service: count for service, count in found.items() if wanted.of_service(service)})
