"""A worker as it runs in production: a real Kafka, pictures over HTTP, Redis, exactly-once delivery.

Broker, pictures, Redis and what sends and reads events are processes of their own, on other cores where the machine has any.
What a worker costs is the processor time of its process and its decoding children between the first and the last verdict
counted.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, Producer

from tests.benchmarks.machine import affinity_of, core_seconds, memory_mb
from tests.benchmarks.mix import Upload
from tests.integration.fleet import Fleet, WorkerProcess
from tests.integration.own_node import own_node
from worker.contracts.events import ImageUploaded
from worker.contracts.verdicts import QualityVerdict
from worker.embedded.redis_server import LocalRedis, free_port
from worker.stream.clients import make_consumer, make_producer
from worker.stream.topics import create_topics

__all__ = ["Bench", "Load", "Run"]

START_S = 180.0
STALL_S = 60.0
"""Without any verdict for so long a run is given up."""


@dataclass(frozen=True)
class Load:
    """What is sent: ``rate`` events a second at random times, or all at once if there is none; a share of repeats."""

    name: str
    events: int
    rate: float | None = None
    repeats: float = 0.0


@dataclass
class Run:
    """What came of a load: pictures a second, core-ms each, latencies from event to verdict (ms), memory (MB)."""

    load: Load
    pictures_per_second: float
    core_ms: float
    others_core_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    memory_mb: float
    categories: dict[str, int] = field(default_factory=dict)


class Bench:
    """One worker on ``cores`` cores behind a real broker; loads one after the other."""

    def __init__(self, worker: WorkerProcess, fleet: Fleet, uploads: Sequence[Upload], url: str, cores: set[int]) -> None:
        self.worker, self.cores = worker, cores
        self._uploads, self._url = uploads, url
        self._fleet = fleet
        self._producer: Producer = make_producer(fleet.settings.kafka)
        self._number = 0
        self._sent: dict[str, float] = {}
        self._seen: list[tuple[float, str, str | None]] = []
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, name="verdicts", daemon=True)
        self._reader.start()

    @classmethod
    @contextmanager
    def started(
        cls, folder: Path, uploads: Sequence[Upload], cores: int, partitions: int = 12, **environment: str
    ) -> Iterator[Bench]:
        """Everything started, and ended afterwards; ``environment`` is the worker's."""
        mine, others = affinity_of(cores)
        with ExitStack() as stack:
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, others)
            node = stack.enter_context(own_node(folder))
            redis = stack.enter_context(LocalRedis(real=True))
            port = free_port()
            command = [sys.executable, "-m", "tests.benchmarks.picture_host", str(uploads[0].path.parent), str(port)]
            host = subprocess.Popen(command)
            stack.callback(host.kill)
            fleet = stack.enter_context(Fleet(node.servers, f"bench-{uuid.uuid4().hex[:6]}", folder))
            fleet.environment |= {
                "IQA_KAFKA__DELIVERY": "exactly_once",
                "IQA_REDIS__URL": redis.url,
                "IQA_RUNTIME": "auto",
                "IQA_LOG_LEVEL": "warning",
                **environment,
            }
            create_topics(fleet.settings, partitions, 1)
            os.sched_setaffinity(0, mine)
            worker = fleet.start()
            os.sched_setaffinity(0, others)
            bench = cls(worker, fleet, uploads, f"http://127.0.0.1:{port}", mine)
            stack.callback(bench.close)
            bench.wait_until_ready()
            yield bench

    def wait_until_ready(self) -> None:
        """Until the worker says so.

        Raises:
            TimeoutError: it does not; the message ends with its log.

        """
        end, pause = time.monotonic() + START_S, threading.Event()
        while time.monotonic() < end and self.worker.running():
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.worker.port}/readyz", timeout=5):
                return
            pause.wait(0.2)
        raise TimeoutError(f"the worker is not ready\n{self.worker.log.read_text()[-2000:]}")

    def run(self, load: Load, warm: int = 40) -> Run:
        """Send ``load`` and wait for every verdict; the first ``warm`` count for nothing."""
        rng = random.Random(f"{load.name} {load.events}")
        seen_before = len(self._seen)
        sender = threading.Thread(target=self._send, args=(load, rng), name="load", daemon=True)
        sender.start()
        first: tuple[float, float, float] | None = None
        most, count, skipped = 0.0, 0, 0
        pause, moved = threading.Event(), time.monotonic()
        while count < load.events:
            now = len(self._seen) - seen_before
            moved = time.monotonic() if now > count else moved
            if time.monotonic() - moved > STALL_S:
                raise TimeoutError(f"{load.name}: {now} of {load.events} verdicts\n{self.worker.log.read_text()[-2000:]}")
            count = now
            if first is None and count >= min(warm, load.events - 1):
                first, skipped = self._clocks(), count
            most = max(most, memory_mb(self.worker.pid))
            pause.wait(0.1)
        last = self._clocks()
        first = first or last
        sender.join()
        counted = self._seen[seen_before + skipped :]
        waited = 1000 * np.array([when - self._sent[event] for when, event, _ in counted])
        categories: dict[str, int] = {}
        for _, _, category in counted:
            categories[str(category)] = categories.get(str(category), 0) + 1
        return Run(
            load=load,
            pictures_per_second=round(len(counted) / (last[0] - first[0]), 2),
            core_ms=round(1000 * (last[1] - first[1]) / len(counted), 1),
            others_core_ms=round(1000 * (last[2] - first[2]) / len(counted), 1),
            p50_ms=round(float(np.percentile(waited, 50))),
            p95_ms=round(float(np.percentile(waited, 95))),
            p99_ms=round(float(np.percentile(waited, 99))),
            memory_mb=round(most),
            categories=dict(sorted(categories.items())),
        )

    def _clocks(self) -> tuple[float, float, float]:
        """Seconds on the wall, of the worker's processors, and of this process's."""
        return time.monotonic(), core_seconds(self.worker.pid), time.process_time()

    def close(self) -> None:
        """Stop reading."""
        self._over.set()
        self._reader.join()

    def _send(self, load: Load, rng: random.Random) -> None:
        due = time.monotonic()
        recent: list[tuple[int, Upload]] = []
        for _ in range(load.events):
            if load.rate:
                due += rng.expovariate(load.rate)
                self._over.wait(max(0.0, due - time.monotonic()))
            if recent and rng.random() < load.repeats:
                number, upload = rng.choice(recent)
            else:
                number, upload = self._number, self._uploads[self._number % len(self._uploads)]
                recent.append((number, upload))
            self._number += 1
            self._produce(number, upload)
        self._producer.flush(60)

    def _produce(self, number: int, upload: Upload) -> None:
        name = f"{self._number:08}"
        event = ImageUploaded.model_validate(
            {
                "event_id": name,
                "image_id": f"image-{name}",
                "url": f"{self._url}/{number}/{upload.path.name}",
                "uploaded_at": datetime.now(UTC),
            }
        )
        self._sent[name] = time.monotonic()
        while True:
            try:
                self._producer.produce(self._fleet.settings.topics.uploads, event.model_dump_json().encode(), event.image_id)
            except BufferError:
                self._producer.poll(0.05)
            else:
                break
        self._producer.poll(0)

    def _read(self) -> None:
        consumer: Consumer = make_consumer(self._fleet.settings.kafka, f"{self._fleet.settings.kafka.group_id}.bench")
        consumer.subscribe([self._fleet.settings.topics.verdicts])
        while not self._over.is_set():
            for message in consumer.consume(200, 0.02):
                if message.error() is None:
                    verdict = QualityVerdict.model_validate_json(message.value() or b"")
                    self._seen.append((time.monotonic(), verdict.event_id, verdict.category))
        consumer.close()
