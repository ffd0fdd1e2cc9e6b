"""What traces cost one event, in core-microseconds: ``python -m tests.benchmarks.trace_costs [EVENTS]``.

All that a worker does for the spans of one event, without the event: its part of a poll, the work, the sending of its verdict
and its part of a commit, with links to the sender's; then export by OTLP to a receiver in another process, whose time does not
count. Processor time of the whole process, the exporter's thread included, against the same calls where nothing is traced.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.otlp_receiver import Receiver
from tests.worker.helpers import event, verdict
from worker.settings import Settings
from worker.stream.incoming import Record
from worker.stream.ledger import Entry
from worker.stream.records import verdict_record
from worker.telemetry.traces import NO_TRACING, Tracing, make_tracing

STAGES = {"fetch": 30.0, "repeat": 1.0, "decode": 5.0, "quality": 44.0, "background": 1.0, "total": 83.0}
SENDER = ("traceparent", f"00-{7:032x}-{7:016x}-01".encode())


def record(offset: int) -> Record:
    return Record("image.uploads", offset % 6, offset, b"image-1234", event().model_dump_json().encode(), (SENDER,), 1)


def one_batch(tracing: Tracing, offsets: range) -> None:
    """What is told of a batch of events, by all threads."""
    lane, entries, records = tracing.lane("iqa-workers"), [], [record(offset) for offset in offsets]
    with lane.poll() as polling:
        for each in records:
            entry = Entry((each.topic, each.partition), each.offset, 1)
            entry.origin = polling.add(each)
            entries.append(entry)
    for each in records:
        work = lane.process(each)
        judged = verdict(latency_ms=STAGES)
        work.end(event(), judged, None)
        made = verdict_record(judged, "image.quality.verdicts", "/iqa/worker", work.record.trace_context)
        lane.send(made).end(None, None)
    lane.commit(entries).end()


def cost_us(tracing: Tracing, events: int, batch: int) -> float:
    """Core-microseconds for each of ``events``, told of in batches of ``batch``."""
    began = time.process_time()
    for first in range(0, events, batch):
        one_batch(tracing, range(first, first + batch))
    tracing.close(60)
    return 1e6 * (time.process_time() - began) / events


def main(events: int) -> None:
    """Print a line for each size of batch."""
    os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "50"
    # All that is told fits in: what a full queue drops costs nothing.
    os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = str(10 * events)
    for batch in (1, 4, 20):
        with tempfile.TemporaryDirectory() as folder, Receiver(Path(folder)) as receiver:
            os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.url
            tracing = make_tracing(Settings.model_validate({"tracing": {"enabled": True}}))
            one_batch(tracing, range(batch))  # what is done once is done
            off, on = cost_us(NO_TRACING, events, batch), cost_us(tracing, events, batch)
            exported = len(receiver.seen)
        told = f"{on - off:4.0f} core-us an event ({on:.0f} with traces, {off:.0f} without)"
        print(f"batches of {batch:>2}: {told}, {exported} spans")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
