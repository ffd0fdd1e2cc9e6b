"""Everything that can be broken, in one place: Kafka, its links, Redis, workers, a picture server."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from tests.chaos.cluster import Cluster
from tests.chaos.host import PictureHost
from tests.chaos.load import Load, Witness
from tests.integration.fleet import Fleet, WorkerProcess
from tests.pictures import encode, photo
from worker.contracts.events import ImageUploaded
from worker.embedded.redis_server import LocalRedis
from worker.store import verdict_key
from worker.stream.clients import make_producer

__all__ = ["NotHereError", "Stage"]

PICTURES = 30
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
EXACTLY_ONCE = {
    "IQA_KAFKA__DELIVERY": "exactly_once",
    "IQA_WORKER__MAX_IN_FLIGHT": "64",
    "IQA_WORKER__PUBLISH_INTERVAL_MS": "100",
    "IQA_RETRY__DELAYS_S": "0.5,1,2",
    "IQA_FETCH__TOTAL_TIMEOUT_S": "4",
    "IQA_FETCH__CONNECT_TIMEOUT_S": "2",
    "IQA_FETCH__ATTEMPTS": "1",
    "IQA_REDIS__TIMEOUT_S": "0.5",
}


class NotHereError(Exception):
    """A scenario needs what this machine does not have; the message says what."""


class Stage:
    """A fleet of workers in exactly-once mode on a cluster of its own."""

    def __init__(self, folder: Path, nodes: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.workers: list[WorkerProcess] = []
        self.poison: list[bytes] = []
        """What was sent that is no event."""
        self._clock = folder / "clock"
        self._clock_waits = folder / "clock.so"
        with ExitStack() as started:
            pictures = {f"{number}.jpg": encode(photo(300, 260, number)) for number in range(PICTURES)}
            self.host = started.enter_context(PictureHost(pictures))
            self.redis = started.enter_context(LocalRedis(real=True))
            self.cluster = started.enter_context(closing(Cluster(folder, nodes)))
            name = f"chaos-{uuid.uuid4().hex[:6]}"
            self.fleet = started.enter_context(Fleet(self.cluster.direct, name, folder, replication=nodes))
            self.fleet.create_topics()
            self.fleet.environment |= EXACTLY_ONCE
            self.fleet.environment |= {
                "IQA_KAFKA__BOOTSTRAP_SERVERS": self.cluster.through_links,
                "IQA_REDIS__URL": self.redis.url,
            }
            # As workers are by default, so that pauses are theirs.
            for setting in ("SESSION_TIMEOUT_MS", "HEARTBEAT_INTERVAL_MS"):
                del self.fleet.environment[f"IQA_KAFKA__PROPERTIES__{setting}"]
            self.witness = started.enter_context(closing(Witness(self.fleet.settings)))
            self._started = started.pop_all()

    def have(self, count: int) -> None:
        """Bring the number of living workers to ``count``, and wait until they share the partitions."""
        self.workers = [worker for worker in self.workers if worker.running()]
        while len(self.workers) > count:
            self.workers.pop().terminate()
        while len(self.workers) < count:
            self.workers.append(self.fleet.start())
        self.wait(lambda: all(w.metric("iqa_assigned_partitions") > 0 for w in self.workers), 90, "an assignment for all")

    def replace(self, index: int, **environment: str) -> None:
        """A new worker in the place of one that has ended."""
        self.workers[index] = self.fleet.start(**environment)

    def load(self, most: int, kind: Callable[[int], str] = lambda _: "ok") -> Load:
        """Start sending; ``kind`` says for every number how its picture is served, see ``host.EXPECTED``."""
        mark = uuid.uuid4().hex[:6]

        def make(number: int) -> ImageUploaded:
            chosen = kind(number)
            url = self.host.url(chosen, number, mark=f"{mark}-{number}" if chosen == "flaky" else "")
            name = f"{mark}-{chosen}-{number}"
            return ImageUploaded(event_id=f"event-{name}", image_id=f"image-{name}", url=url, uploaded_at=datetime.now(UTC))

        return Load(self.fleet.settings, self.witness, make, most)

    def steps(self, load: Load, count: int) -> Iterator[int]:
        """1 to ``count``, each once its share of the load is answered: something happens while there is work.

        Raises:
            TimeoutError: the next share does not come.

        """
        for number in range(1, count + 1):
            goal = number * load.most // (count + 1)
            self.wait(lambda goal=goal: load.answered() >= goal, 120, f"{goal} verdicts")  # type: ignore[misc]
            yield number

    def send_poison(self, count: int) -> None:
        """Fill partition 0 of the uploads topic with what is no event, in many ways."""
        producer = make_producer(self.fleet.settings.kafka)
        ways = (
            b"",
            b"{",
            b"[]",
            b"null",
            b'{"event_id": 1}',
            b"\xff\xfe",
            b'{"event_id": "e", "image_id": "i", "url": 7}',
            b"[" * 5000,
        )
        for number in range(count):
            body = ways[number % len(ways)] + b"%d" % number
            producer.produce(self.fleet.settings.topics.uploads, body, b"poison", partition=0)
            self.poison.append(body)
        if producer.flush(60):
            raise TimeoutError("the broker does not take poison")

    def wait_for_redis(self, wanted: Mapping[str, bytes], timeout_s: float) -> list[str]:
        """Wait until Redis holds ``wanted`` (image id to verdict as published); what it does not hold in the end."""
        client = redis.Redis.from_url(self.redis.url)
        left = list(wanted)

        def complete() -> bool:
            nonlocal left
            found = client.mget([verdict_key(name) for name in left]) if left else []
            pairs = zip(left, found if isinstance(found, list) else [], strict=True)
            left = [name for name, body in pairs if body is None or not _same(body, wanted[name])]
            return not left

        with suppress(TimeoutError):
            self.wait(complete, timeout_s, "Redis")
        client.close()
        return left

    def settle(self) -> None:
        """Wait until no worker has anything in flight, and the witness has read what was published."""
        self.wait(lambda: all(w.metric("iqa_in_flight_events") == 0 for w in self.workers if w.running()), 60, "an idle fleet")
        self.sleep(0.5)

    @property
    def skewed(self) -> dict[str, str]:
        """Environment of a worker whose clock ``jump`` can set.

        Raises:
            NotHereError: there is no libfaketime, or no compiler for what it lacks.

        """
        if not FAKETIME.exists() or shutil.which("gcc") is None:
            raise NotHereError("libfaketime and gcc")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", self._clock_waits, Path(__file__).with_name("clock.c")], check=True)
        self.jump(0)
        # Only the wall clock: the other one cannot jump.
        return {
            "LD_PRELOAD": f"{self._clock_waits}:{FAKETIME}",
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds: int) -> None:
        """Set the clock of the worker that was started with ``skewed`` so far from the present."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self._clock)

    @staticmethod
    def wait(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for ``condition``.

        Raises:
            TimeoutError: it does not come.

        """
        end, pause = time.monotonic() + timeout_s, threading.Event()
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come within {timeout_s:.0f} s")
            pause.wait(0.05)

    @staticmethod
    def sleep(seconds: float) -> None:
        """Let something stay broken for so long."""
        threading.Event().wait(seconds)

    def close(self) -> None:
        """End everything, last things first."""
        self._started.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _same(body: bytes | str, published: bytes) -> bool:
    return bool(json.loads(body) == json.loads(published))
