"""What the dashboard is looked at with: two workers, a probe, their servers, and what happens to them within two minutes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.chaos.link import FaultyLink
from tests.integration.fleet import Fleet, WorkerProcess
from tests.integration.looking import answer
from tests.integration.own_node import own_node
from tests.k8s.prometheus_server import EVERY_S, wait_for
from tests.pictures import encode, page, photo
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis, free_port
from worker.send import make_event, send_events
from worker.stream.clients import make_producer

A_SECOND = 14
"""Events. Within two minutes over a thousand, below which the drift of scores is not computed."""
SECONDS = 125
SIDES = (200, 320, 500, 800, 1200)


def files() -> dict[str, bytes]:
    """Pictures of several sizes, certificates, and what is no picture."""
    found = {f"{seed}.jpg": encode(photo(SIDES[seed % 5], SIDES[seed % 5] * 3 // 4, seed)) for seed in range(100)}
    found |= {f"page-{n}.jpg": encode(page(["CERTIFICATE", f"of completion {n}", "awarded to", "N. N."])) for n in range(5)}
    return found | {"text.jpg": b"<html>not here</html>", "cut.jpg": found["0.jpg"][:700]}


@dataclass
class Stage:
    """All that runs."""

    fleet: Fleet
    redis: LocalRedis
    near: PictureServer
    far: FaultyLink
    ports: dict[str, int]
    running: dict[str, WorkerProcess] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def start(self, name: str) -> None:
        """A worker, or the probe."""
        own = {"IQA_HTTP__PORT": str(self.ports[name])}
        if name == "probe":
            served = {"IQA_PROBE__SERVED_AT": f"http://127.0.0.1:{self.ports[name]}"}
            self.running[name] = self.fleet.start(name, **own, **served, IQA_PROBE__INTERVAL_S="8", IQA_PROBE__TIMEOUT_S="8")
        else:
            self.running[name] = self.fleet.start(**own)

    def send(self) -> None:
        """A second's events: mostly pictures, some of a host that may be down, some that cannot be judged."""
        urls = []
        for _ in range(A_SECOND):
            number = next(self.numbers)
            near = {3: f"page-{number % 5}.jpg", 5: "text.jpg", 7: "cut.jpg", 9: "missing.jpg"}.get(number % 40)
            far = f"http://127.0.0.1:{self.far.port}/{number % 100}.jpg"
            urls.append(far if number % 5 == 1 else self.near.url(near or f"{number % 100}.jpg"))
        send_events(self.fleet.settings, [make_event(url, uuid.uuid4().hex) for url in urls])

    def send_nonsense(self) -> None:
        """Records that are no events."""
        producer = make_producer(self.fleet.settings.kafka)
        for number in range(4):
            producer.produce(self.fleet.settings.topics.uploads, b"no json", str(number).encode())
        producer.flush(60)

    def send_for_nobody(self) -> None:
        """Events of a service that no profile is for."""
        events = [make_event(self.near.url(f"{n}.jpg"), uuid.uuid4().hex, "nobody") for n in range(12)]
        send_events(self.fleet.settings, events)


Deed = tuple[int, str, Callable[[Stage], None]]
DEEDS: tuple[Deed, ...] = (
    (8, "records that are no events", Stage.send_nonsense),
    (15, "events of an unknown service", Stage.send_for_nobody),
    (22, "a host is down", lambda stage: stage.far.cut()),
    (48, "the host is back", lambda stage: stage.far.heal()),
    (55, "worker-2 is killed", lambda stage: stage.running["worker-2"].kill()),
    (72, "worker-2 starts", lambda stage: stage.start("worker-2")),
    (80, "records that are no events", Stage.send_nonsense),
    (86, "Redis is stopped", lambda stage: stage.redis.stop()),
    (106, "Redis is back", lambda stage: stage.redis.start()),
)


def play(stage: Stage, told: Callable[[str], None]) -> list[tuple[float, str]]:
    """Two minutes of traffic and faults; gives when what was done, in seconds since 1970."""
    began, left, done = time.monotonic(), list(DEEDS), []
    for second in range(SECONDS):
        wait_for(lambda second=second: time.monotonic() - began >= second, "next second")  # type: ignore[misc]
        while left and left[0][0] <= second:
            _, what, deed = left.pop(0)
            done.append((time.time(), what))
            told(f"{second:3} s: {what}")
            deed(stage)
        stage.send()
    return done


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Everything, ready."""
    with ExitStack() as stack:
        (folder / "kafka").mkdir()
        node = stack.enter_context(own_node(folder / "kafka"))
        redis = stack.enter_context(LocalRedis(real=True))
        near = stack.enter_context(PictureServer(files()))
        far = FaultyLink(free_port(), int(near.url("").split(":")[2].strip("/")))
        stack.callback(far.close)
        fleet = stack.enter_context(Fleet(node.servers, "look", folder))
        fleet.environment |= {
            "IQA_REDIS__URL": redis.url,
            "IQA_KAFKA__DELIVERY": "exactly_once",
            "IQA_RETRY__DELAYS_S": f"{EVERY_S},{4 * EVERY_S}",
        }
        fleet.create_topics()
        made = Stage(fleet, redis, near, far, {name: free_port() for name in ("worker-1", "worker-2", "probe")})
        for name in made.ports:
            made.start(name)
        wait_for(lambda: all(answer(made.running[name])[0] == 200 for name in ("worker-1", "worker-2")), "readiness")
        yield made
