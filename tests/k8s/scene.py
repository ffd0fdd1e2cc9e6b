"""All that runs while alerts are provoked: Kafka, Redis, a host, a worker, a probe."""

from __future__ import annotations

import os
import resource
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import TopicPartition

from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.looking import answer
from tests.integration.own_node import OwnNode
from tests.k8s.prometheus_server import PATIENCE_S, wait_for
from tests.worker.intake.servers import head, raw_server
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis, free_port
from worker.send import make_event, send_events
from worker.stream.clients import make_admin, make_consumer, make_producer

__all__ = ["Scene"]

SLOW_S = 8.0
PROBE_S = "5"


@dataclass
class Scene:
    """What there is to break, and ways to break it that are more than one call."""

    node: OwnNode
    redis: LocalRedis
    fleet: Fleet
    pictures: PictureServer
    ports: tuple[int, int, int]
    """Of the worker, of a second one, of the probe; Prometheus scrapes all three."""
    worker: WorkerProcess = field(init=False)
    second: WorkerProcess | None = field(default=None, init=False)
    probe: WorkerProcess = field(init=False)
    hushed: threading.Event = field(default_factory=threading.Event, init=False)

    def start_worker(self, **more: str) -> None:
        """And wait until it is ready."""
        self.worker = self.fleet.start(IQA_HTTP__PORT=str(self.ports[0]), **more)
        wait_for(lambda: answer(self.worker)[0] == 200, "readiness")

    def start_second(self, **more: str) -> None:
        """A second worker."""
        self.second = self.fleet.start(IQA_HTTP__PORT=str(self.ports[1]), **more)
        wait_for(lambda: answer(self.second)[0] == 200 if self.second else False, "readiness of a second worker")

    def end_second(self) -> None:
        """Where there is one."""
        if self.second is not None:
            self.second.kill()
            self.second = None

    def start_probe(self, **more: str) -> None:
        """Every few seconds: a tenth of a minute, as all is quicker here."""
        port = str(self.ports[2])
        self.probe = self.fleet.start(
            "probe",
            IQA_HTTP__PORT=port,
            IQA_PROBE__SERVED_AT=f"http://127.0.0.1:{port}",
            IQA_PROBE__INTERVAL_S=PROBE_S,
            IQA_PROBE__TIMEOUT_S=PROBE_S,
            **more,
        )

    def send(self, count: int, url: Callable[[int], str] | None = None, service: str | None = None) -> None:
        """Events, for ordinary pictures by default."""
        where = url or (lambda number: self.pictures.url(f"{number % 5}.jpg"))
        send_events(self.fleet.settings, [make_event(where(n), uuid.uuid4().hex, service) for n in range(count)])

    def produce(self, topic: str, value: bytes, count: int) -> None:
        """Records as they are, which no sender of ours would send."""
        producer = make_producer(self.fleet.settings.kafka)
        for number in range(count):
            producer.produce(topic, value, str(number).encode())
            producer.poll(0)
        producer.flush(60)

    def delete_unread(self) -> None:
        """All that lies in the uploads topic, as retention does."""
        topic = self.fleet.settings.topics.uploads
        gone = [TopicPartition(topic, number, -1) for number in range(PARTITIONS)]
        for done in make_admin(self.fleet.settings.kafka).delete_records(gone).values():
            done.result(30)

    def kill_decoders(self, times: int) -> None:
        """Its children, whenever they are there again; pictures come all the while."""
        for _ in range(times):
            for child in children(self.worker.pid):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            # Bytes that nobody has judged yet, as the probe serves them: what is remembered is not decoded.
            self.send(2, lambda _: f"http://127.0.0.1:{self.ports[2]}/probe/{uuid.uuid4()}/photo.jpg")
            threading.Event().wait(0.5)

    def join_and_leave(self, times: int) -> None:
        """A consumer that comes and goes in the workers' group."""
        for _ in range(times):
            consumer = make_consumer(self.fleet.settings.kafka, self.fleet.settings.kafka.group_id)
            consumer.subscribe([self.fleet.settings.topics.uploads])
            wait_for(lambda c=consumer: c.poll(0.2) is None and len(c.assignment()) > 0, "an assignment", 60)  # type: ignore[misc]
            consumer.close()

    def bound_files(self) -> None:
        """The worker may open no more than a few files beyond those that it has."""
        opened = len(list(Path(f"/proc/{self.worker.pid}/fd").iterdir()))
        resource.prlimit(self.worker.pid, resource.RLIMIT_NOFILE, (opened + 20, opened + 20))

    def keep_sending(self, count: int, url: Callable[[int], str] | None = None) -> None:
        """So many events every two seconds, until ``hush``: alerts that wait see no single burst."""

        def send() -> None:
            while not self.hushed.wait(2):
                self.send(count, url)

        self.hushed.clear()
        threading.Thread(target=send, name="sender", daemon=True).start()

    def hush(self) -> None:
        """Send no more."""
        self.hushed.set()

    def send_for_slow_host(self, count: int, a_second: int) -> None:
        """In the background, so many a second."""

        def send() -> None:
            with slow_host() as url:
                for _ in range(count // a_second):
                    self.send(a_second, lambda n: f"{url}/{uuid.uuid4().hex}/{n}.jpg")
                    threading.Event().wait(1.0)
                threading.Event().wait(PATIENCE_S)

        threading.Thread(target=send, name="slow host", daemon=True).start()


def children(pid: int) -> list[int]:
    """Of all its threads."""
    found = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return sorted(set(found))


@contextmanager
def slow_host() -> Iterator[str]:
    """A host that answers after seconds, and says that there is nothing."""

    def behave(connection: Any, over: threading.Event) -> None:
        over.wait(SLOW_S)
        connection.sendall(head("404 Not Found", Content_Length="0", Connection="close"))

    with raw_server(behave) as url:
        yield url


def closed_port() -> str:
    """Where nobody answers."""
    return f"http://127.0.0.1:{free_port()}"
