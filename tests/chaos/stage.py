"""Everything that can be broken, in one place: Kafka, its links, Redis, workers, a picture server."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from tests.chaos.cluster import Cluster
from tests.chaos.host import PictureHost
from tests.chaos.load import Load, partition_of
from tests.chaos.poison import Poison
from tests.chaos.prober import Prober
from tests.chaos.redis_pair import RedisPair
from tests.chaos.witness import Witness
from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.pictures import encode, photo
from worker.contracts.events import ImageUploaded
from worker.store import verdict_key

__all__ = ["NotHereError", "Stage"]

PICTURES = 30
WARM_UP_S = 120.0
ASKED_AGAIN = frozenset({"flaky", "drool", "hang"})
"""Kinds that are served otherwise the second time: each event has a URL of its own."""
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
EXACTLY_ONCE = {
    "IQA_KAFKA__DELIVERY": "exactly_once",
    "IQA_WORKER__MAX_IN_FLIGHT": "64",
    "IQA_WORKER__PUBLISH_INTERVAL_MS": "100",
    "IQA_RETRY__DELAYS_S": "0.5,1,2",
    "IQA_FETCH__TOTAL_TIMEOUT_S": "2.5",
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
        self.poison: list[Poison] = []
        """What was sent that is no event."""
        self.prober = Prober()
        self._environment: dict[str, str] = {}
        self._settings_of: dict[int, dict[str, str]] = {}
        """Of workers (process ids), beyond the fleet's."""
        self._read: Counter[Path] = Counter()
        self._folder = folder
        self._clock = folder / "clock"
        self._clock_waits = folder / "clock.so"
        with ExitStack() as started:
            pictures = {f"{number}.jpg": encode(photo(300, 260, number)) for number in range(PICTURES)}
            self.host = started.enter_context(PictureHost(pictures))
            self.redis = started.enter_context(closing(RedisPair(folder)))
            self.cluster = started.enter_context(closing(Cluster(folder, nodes)))
            name = f"chaos-{uuid.uuid4().hex[:6]}"
            self.fleet = started.enter_context(Fleet(self.cluster.direct, name, folder, replication=nodes))
            self.fleet.create_topics()
            self.fleet.environment |= EXACTLY_ONCE
            self.fleet.environment |= {
                "IQA_KAFKA__BOOTSTRAP_SERVERS": self.cluster.through_links,
                "IQA_REDIS__URL": self.redis.url,
                **self.cluster.login,
            }
            # As workers are by default, so that pauses are theirs.
            for setting in ("SESSION_TIMEOUT_MS", "HEARTBEAT_INTERVAL_MS"):
                del self.fleet.environment[f"IQA_KAFKA__PROPERTIES__{setting}"]
            started.callback(self.prober.close)
            self.witness = started.enter_context(closing(Witness(self.fleet.settings)))
            self._started = started.pop_all()

    def have(self, count: int, environment: Mapping[str, str] | None = None) -> None:
        """Bring the number of workers to ``count``, all with ``environment``, and wait until they share the work."""
        self._environment = dict(environment or {})
        for worker in list(self.workers):
            if worker.running() and (len(self.workers) > count or self._settings_of[worker.pid] != self._environment):
                self.let_go(worker)
                worker.wait()
            if not worker.running():
                self.workers.remove(worker)
        while len(self.workers) < count:
            self.workers.append(self._start())
        self.wait(lambda: all(w.metric("iqa_assigned_partitions") > 0 for w in self.workers), 90, "an assignment for all")
        self.wait(self.all_ready, 90, "a fleet that is ready")

    def _start(self, **environment: str) -> WorkerProcess:
        settings = self._environment | environment
        worker = self.fleet.start(**settings)
        self._settings_of[worker.pid] = settings
        self.prober.watch(worker)
        return worker

    def warm_up(self) -> None:
        """Have every picture judged once, so that pauses are those of waiting, not of work.

        Raises:
            TimeoutError: that takes too long.

        """
        self.have(2)
        load = self.load(PICTURES)
        done = load.wait(WARM_UP_S, load.all_sent)
        load.finish()
        if not (done and load.wait(WARM_UP_S)):
            raise TimeoutError(f"{PICTURES} pictures are not judged within {WARM_UP_S:.0f} s")

    def replace(self, index: int, **environment: str) -> None:
        """A new worker in the place of one that has ended, or was let go."""
        self.workers[index] = self._start(**environment)

    def add(self) -> None:
        """One more worker."""
        self.workers.append(self._start())

    def succeed(self, timeout_s: float) -> None:
        """Wait until every worker has ended by itself, with exit code 1, and start another in its place, as supervisors do.

        Raises:
            TimeoutError: one goes on.
            AssertionError: one ended otherwise.

        """
        old = list(self.workers)

        def all_new() -> bool:
            for index, worker in enumerate(self.workers):
                if worker in old and not worker.running():
                    if (code := worker.wait()) != 1:
                        raise AssertionError(f"a worker ended with exit code {code}, not 1")
                    self.replace(index)
            return not any(worker in old for worker in self.workers)

        self.wait(all_new, timeout_s, "the end of every worker, by itself")

    def let_go(self, worker: WorkerProcess) -> None:
        """SIGTERM, not waited for."""
        self.prober.leaves(worker)
        worker.ask_to_stop()

    def all_ready(self) -> bool:
        """Whether every worker says that it is ready."""
        return all(self.prober.ready(worker) for worker in self.workers)

    def none_ready(self) -> bool:
        """Whether no worker says that it is ready."""
        return not any(self.prober.ready(worker) for worker in self.workers)

    def counted(self, metric: str) -> float:
        """A metric, summed over its labels and the workers that run."""
        total = 0.0
        for worker in self.workers:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/metrics", timeout=30) as answer:
                lines = answer.read().decode().splitlines()
                total += sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((metric + " ", metric + "{")))
        return total

    def fresh_log_lines(self) -> list[str]:
        """What workers have logged since this was asked last."""
        found = []
        for log in sorted(self._folder.glob("worker-*.log")):
            with log.open("rb") as file:
                file.seek(self._read[log])
                text = file.read()
            text = text[: text.rfind(b"\n") + 1]
            self._read[log] += len(text)
            found += text.decode("utf-8", "replace").splitlines()
        return found

    def load(self, most: int, kind: Callable[[int], str] = lambda _: "ok", slow: int | None = None) -> Load:
        """Start sending; ``kind`` says for every number how its picture is served, see ``host.EXPECTED``."""
        mark = uuid.uuid4().hex[:6]

        def make(number: int, partition: int) -> ImageUploaded:
            return self.event(kind(number), number, mark, partition)

        return Load(self.fleet.settings, self.witness, make, most, PARTITIONS, slow)

    def event(self, kind: str, number: int, mark: str, partition: int) -> ImageUploaded:
        """An event whose picture is served as ``kind`` says, and whose key belongs to ``partition``."""
        url = self.host.url(kind, number, mark=f"{mark}-{number}" if kind in ASKED_AGAIN else "")
        tries = (f"{mark}-{kind}-{number}-{salt}" for salt in range(10_000))
        name = next(name for name in tries if partition_of(f"image-{name}".encode(), PARTITIONS) == partition)
        return ImageUploaded(event_id=f"event-{name}", image_id=f"image-{name}", url=url, uploaded_at=datetime.now(UTC))

    def steps(self, load: Load, count: int) -> Iterator[int]:
        """1 to ``count``, each once its share of the load is answered: something happens while there is work.

        Raises:
            TimeoutError: the next share does not come.

        """
        for number in range(1, count + 1):
            goal = number * load.most // (count + 1)
            self.wait(lambda goal=goal: load.answered() >= goal, 120, f"{goal} verdicts")  # type: ignore[misc]
            yield number

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
