"""Everything that can be broken, in one place: Kafka, its links, Redis, workers, a picture server."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos.cluster import Cluster
from tests.chaos.host import PictureHost
from tests.chaos.load import Load, Witness
from tests.integration.fleet import Fleet, WorkerProcess
from tests.pictures import encode, photo
from worker.contracts.events import ImageUploaded
from worker.embedded.redis_server import LocalRedis

__all__ = ["NotHereError", "Stage"]

PICTURES = 30
EXACTLY_ONCE = {
    "IQA_KAFKA__DELIVERY": "exactly_once",
    "IQA_WORKER__MAX_IN_FLIGHT": "64",
    "IQA_WORKER__PUBLISH_INTERVAL_MS": "100",
    "IQA_RETRY__DELAYS_S": "0.5,1,2",
    "IQA_FETCH__TOTAL_TIMEOUT_S": "2",
    "IQA_FETCH__CONNECT_TIMEOUT_S": "1",
    "IQA_FETCH__ATTEMPTS": "1",
    "IQA_REDIS__TIMEOUT_S": "0.5",
}


class NotHereError(Exception):
    """A scenario needs what this machine does not have; the message says what."""


class Stage:
    """A fleet of workers in exactly-once mode on a cluster of its own."""

    def __init__(self, folder: Path, nodes: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.host = PictureHost({f"{number}.jpg": encode(photo(300, 260, number)) for number in range(PICTURES)})
        self.redis = LocalRedis(real=True)
        self.cluster = Cluster(folder, nodes)
        self.fleet = Fleet(self.cluster.direct, f"chaos-{uuid.uuid4().hex[:6]}", folder, replication=nodes)
        self.fleet.create_topics()
        self.fleet.environment |= EXACTLY_ONCE
        self.fleet.environment |= {
            "IQA_KAFKA__BOOTSTRAP_SERVERS": self.cluster.through_links,
            "IQA_REDIS__URL": self.redis.url,
        }
        self.workers: list[WorkerProcess] = []
        self.witness = Witness(self.fleet.settings)

    def have(self, count: int, **environment: str) -> None:
        """Bring the number of living workers to ``count``, and wait until they share the partitions."""
        self.workers = [worker for worker in self.workers if worker.running()]
        while len(self.workers) > count:
            self.workers.pop().terminate()
        while len(self.workers) < count:
            self.workers.append(self.fleet.start(**environment))
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

    def steps(self, load: Load, events: int, count: int) -> itertools.chain[int]:
        """Yields 1 to ``count``, each once its share of ``events`` is answered: something happens while there is work."""
        return itertools.chain.from_iterable(
            [number] for number in range(1, count + 1) if load.wait(120, lambda n=number: load.answered() >= n * events // (count + 1))
        )

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
        """End everything."""
        for worker in self.workers:
            worker.kill()
        self.fleet.__exit__(None, None, None)
        self.witness.close()
        self.cluster.close()
        self.redis.close()
        self.host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def in_ci() -> bool:
    """Whether what is missing is a failure."""
    return bool(os.environ.get("CI"))
