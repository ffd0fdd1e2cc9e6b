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
    """What is sent: ``rate`` events a second at random times, or all at once if there is none; a share of repeats.

    ``hosts``: how many the pictures come from, in turn.
    """

    name: str
    events: int
    rate: float | None = None
    repeats: float = 0.0
    hosts: int = 1


@dataclass
class Run:
    """What came of a load: pictures a second, core-ms each, latencies from event to verdict (ms), all workers' memory (MB)."""

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
    """Workers on some cores behind a real broker; loads one after the other."""

    def __init__(self, fleet: Fleet, uploads: Sequence[Upload], port: int) -> None:
        self._workers: list[WorkerProcess] = []
        self._uploads, self._port = uploads, port
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
        cls,
        folder: Path,
        uploads: Sequence[Upload],
        cores: int,
        partitions: int = 12,
        workers: int = 1,
        backlog: int = 0,
        **environment: str,
    ) -> Iterator[Bench]:
        """Everything started, and ended afterwards; ``environment`` is the workers', ``backlog`` events wait for them."""
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
            bench = cls(fleet, uploads, port)
            stack.callback(bench.close)
            if backlog:
                bench._send(Load("backlog", backlog), random.Random(0))
            os.sched_setaffinity(0, mine)
            bench._workers = [fleet.start() for _ in range(workers)]
            os.sched_setaffinity(0, others)
            for worker in bench._workers:
                bench._wait_until_ready(worker)
            yield bench

    def _wait_until_ready(self, worker: WorkerProcess) -> None:
        """Until it says so.

        Raises:
            TimeoutError: it does not; the message ends with its log.

        """
        end, pause = time.monotonic() + START_S, threading.Event()
        while time.monotonic() < end and worker.running():
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/readyz", timeout=5):
                return
            pause.wait(0.2)
        raise TimeoutError(f"a worker is not ready\n{worker.log.read_text()[-2000:]}")

    def run(self, load: Load, warm: int = 40) -> Run:
        """Send ``load`` and wait for every verdict, after as many events that count for nothing as ``warm`` says.

        Nothing is in work when it begins or ends, so that all that the load costs is counted, and nothing else.
        """
        if warm:
            self.run(Load("warm", warm), warm=0)
        rng = random.Random(f"{load.name} {load.events}")
        sender = threading.Thread(target=self._send, args=(load, rng), name="load", daemon=True)
        seen, first = len(self._seen), self._clocks()
        sender.start()
        most = self._wait_for(seen + load.events, load.name)
        sender.join()
        return self._told(load, seen, first, most)

    def drain(self, name: str, events: int, warm: int = 40) -> Run:
        """Measure over the next so many verdicts of a backlog, which goes on before and after."""
        self._wait_for(len(self._seen) + warm, name)
        seen, first = len(self._seen), self._clocks()
        return self._told(Load(name, events), seen, first, self._wait_for(seen + events, name))

    def _wait_for(self, verdicts: int, name: str) -> float:
        """Until so many have been seen in all; the most memory meanwhile, in MB."""
        most, count = 0.0, 0
        pause, moved = threading.Event(), time.monotonic()
        while count < verdicts:
            now = len(self._seen)
            moved = time.monotonic() if now > count else moved
            if time.monotonic() - moved > STALL_S:
                logs = "\n".join(worker.log.read_text()[-2000:] for worker in self._workers)
                raise TimeoutError(f"{name}: {now} of {verdicts} verdicts\n{logs}")
            count = now
            most = max(most, sum(memory_mb(worker.pid) for worker in self._workers))
            pause.wait(0.1)
        return most

    def _told(self, load: Load, seen: int, first: tuple[float, float, float], most: float) -> Run:
        last, counted = self._clocks(), self._seen[seen:]
        waited = 1000 * np.array([when - self._sent[event] for when, event, _ in counted])
        categories: dict[str, int] = {}
        for _, _, category in counted:
            categories[str(category)] = categories.get(str(category), 0) + 1
        return Run(
            load=load,
            pictures_per_second=round(len(counted) / (counted[-1][0] - first[0]), 2),
            core_ms=round(1000 * (last[1] - first[1]) / len(counted), 1),
            others_core_ms=round(1000 * (last[2] - first[2]) / len(counted), 1),
            p50_ms=round(float(np.percentile(waited, 50))),
            p95_ms=round(float(np.percentile(waited, 95))),
            p99_ms=round(float(np.percentile(waited, 99))),
            memory_mb=round(most),
            categories=dict(sorted(categories.items())),
        )

    def _clocks(self) -> tuple[float, float, float]:
        """Seconds on the wall, of the workers' processors, and of this process's."""
        return time.monotonic(), sum(core_seconds(worker.pid) for worker in self._workers), time.process_time()

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
            self._produce(number, upload, number % load.hosts)
        self._producer.flush(60)

    def _produce(self, number: int, upload: Upload, host: int) -> None:
        name = f"{self._number:08}"
        event = ImageUploaded.model_validate(
            {
                "event_id": name,
                "image_id": f"image-{name}",
                "url": f"http://127.0.{host // 250}.{1 + host % 250}:{self._port}/{number}/{upload.path.name}",
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
